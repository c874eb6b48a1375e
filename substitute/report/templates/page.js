"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const dispatches = all("details");

  // filter, and one button for all: only useful with this script
  const tools = document.getElementById("tools");
  if (tools) {
    tools.hidden = false;
    document.getElementById("filter").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      for (const row of all(".overview tbody tr")) {
        const shown = row.textContent.toLowerCase().includes(wanted);
        row.hidden = !shown;
        document.getElementById(row.dataset.for).hidden = !shown;
      }
    });
    document.getElementById("open").addEventListener("click", (event) => {
      const opening = dispatches.some((one) => !one.open && !one.hidden);
      for (const one of dispatches) one.open = opening;
      event.target.textContent = opening ? "Close all" : "Open all";
    });
  }

  // what is linked to may lie in a dispatch that is closed
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = target && target.closest("details");
    if (around && !around.open) {
      around.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => dispatches.forEach((one) => (one.open = true)));

  // lines that belong together light up together
  const partners = (line) => {
    const names = new Set((line.dataset.g || "").split(" ").filter(Boolean));
    const lines = all(".l[data-g]", line.closest(".panels"));
    return lines.filter((other) => other.dataset.g.split(" ").some((name) => names.has(name)));
  };
  let lit = [];
  const light = (line) => {
    for (const other of lit) other.classList.remove("on");
    lit = line && line.dataset.g ? partners(line) : [];
    for (const other of lit) other.classList.add("on");
  };
  for (const panels of all(".panels")) {
    panels.addEventListener("mouseover", (event) => light(event.target.closest(".l")));
    panels.addEventListener("mouseleave", () => light(null));
    panels.addEventListener("click", (event) => {
      const line = event.target.closest(".l");
      if (!line || !line.dataset.g || String(getSelection())) return;
      event.preventDefault(); // the panels scroll, the page stays
      light(line);
      const seen = new Set([line.parentElement]);
      for (const other of lit) {
        if (seen.has(other.parentElement)) continue;
        seen.add(other.parentElement);
        const box = other.parentElement;
        const offset = line.getBoundingClientRect().top - line.parentElement.getBoundingClientRect().top;
        box.scrollTop = other.offsetTop - offset;
      }
    });
  }
}
