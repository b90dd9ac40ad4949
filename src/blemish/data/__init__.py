"""Data sets, folders and splits: where the parts are and what is known about them."""

from blemish.data.btad import BTAD
from blemish.data.datamodule import DataModule
from blemish.data.folder import Folder
from blemish.data.kolektor_sdd import KolektorSDD
from blemish.data.kolektor_sdd2 import KolektorSDD2
from blemish.data.magnetic_tile import MagneticTile
from blemish.data.mpdd import MPDD
from blemish.data.mvtec_3d_ad import MVTec3DAD
from blemish.data.mvtec_ad import MVTecAD
from blemish.data.mvtec_ad_2 import MVTecAD2
from blemish.data.mvtec_loco import MVTecLOCO
from blemish.data.record import Record
from blemish.data.synthetic import Synthetic
from blemish.data.visa import VisA

# The names that users of other libraries know.
MVTec = MVTecAD
MVTec3D = MVTec3DAD
Kolektor = KolektorSDD
Visa = VisA
BTech = BTAD

__all__ = [
    "BTAD",
    "MPDD",
    "BTech",
    "DataModule",
    "Folder",
    "Kolektor",
    "KolektorSDD",
    "KolektorSDD2",
    "MVTec",
    "MVTec3D",
    "MVTec3DAD",
    "MVTecAD",
    "MVTecAD2",
    "MVTecLOCO",
    "MagneticTile",
    "Record",
    "Synthetic",
    "VisA",
    "Visa",
]
