// A pair of pictures enlarged: by a click or Enter; arrow keys go on, Escape closes; the layers can be hidden.
(() => {
  const large = document.getElementById("large");
  const pair = large.querySelector(".pair");
  const figures = [...document.querySelectorAll(".parts figure")];
  let now = 0;

  function show(at) {
    now = (at + figures.length) % figures.length;
    const figure = figures[now];
    const pictures = [...figure.querySelectorAll("svg")].map((svg) => svg.cloneNode(true));
    for (const named of pictures.flatMap((svg) => [...svg.querySelectorAll("[id]")])) named.removeAttribute("id");
    const words = document.createElement("p");
    words.append(...figure.querySelector("figcaption").cloneNode(true).childNodes);
    pair.replaceChildren(...pictures, words);
    if (!large.open) large.showModal();
  }

  document.addEventListener("click", (event) => {
    const figure = event.target.closest(".parts button.open")?.closest("figure");
    const see = event.target.closest("a.see");
    if (figure) show(figures.indexOf(figure));
    if (see) {
      event.preventDefault();
      show(figures.findIndex((one) => one.dataset.key === see.dataset.see));
    }
  });
  large.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (step) show(now + Number(step.dataset.step));
    else if (event.target === large || event.target.closest("[data-close]")) large.close();
  });
  large.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) show(now + step);
  });
  for (const layer of large.querySelectorAll(".layers input")) {
    layer.addEventListener("change", () => large.classList.toggle(`no-${layer.value}`, !layer.checked));
  }
})();
