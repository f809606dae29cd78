// What the theme leaves out for screen readers and the keyboard: a name of the search
// dialog, and a way to scroll wide code and tables.
document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
window.addEventListener("load", () => {
  for (const box of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
