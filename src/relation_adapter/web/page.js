// The slider of a result: how far the source is seen. Delegated, since the figure is made anew for every result.
document.addEventListener("input", (event) => {
  const figure = event.target.closest?.(".ra-compare");
  if (figure) figure.style.setProperty("--split", event.target.value + "%");
});
// What happens is read out: the part itself must say so, since what is in it is made anew every time.
const waiting = new MutationObserver(() => {
  const status = document.querySelector("#status");
  if (!status) return;
  status.setAttribute("aria-live", "polite");
  waiting.disconnect();
});
waiting.observe(document, { childList: true, subtree: true });
// On a phone the form is long: what comes of it stands below.
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#edit") && window.innerWidth <= 720)
    document.querySelector("#press")?.scrollIntoView({ behavior: "smooth" });
});
