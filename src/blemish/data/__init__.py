"""Data sets, folders and splits: where the parts are and what is known about them."""

from blemish.data.datamodule import DataModule
from blemish.data.datasets.btad import BTAD
from blemish.data.datasets.folder import Folder
from blemish.data.datasets.kolektor_sdd import KolektorSDD
from blemish.data.datasets.kolektor_sdd2 import KolektorSDD2
from blemish.data.datasets.magnetic_tile import MagneticTile
from blemish.data.datasets.mpdd import MPDD
from blemish.data.datasets.mvtec_3d_ad import MVTec3DAD
from blemish.data.datasets.mvtec_ad import MVTecAD
from blemish.data.datasets.mvtec_ad_2 import MVTecAD2
from blemish.data.datasets.mvtec_loco import MVTecLOCO
from blemish.data.datasets.synthetic import Synthetic
from blemish.data.datasets.visa import VisA
from blemish.data.record import Record

# Names used by other libraries.
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
