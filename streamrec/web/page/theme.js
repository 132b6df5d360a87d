// Runs before the page is drawn, so that the wrong theme never flashes up.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is off */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
