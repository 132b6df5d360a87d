// Before the page is drawn, so that nobody sees the other theme flash by.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is off */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
