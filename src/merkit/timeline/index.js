"use strict";
(() => {
  const byId = id => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent), body = byId("rows");
  const rows = [...body.rows].map(row => ({ row, about: data.recordings[+row.dataset.n] }));
  const search = byId("search"), who = byId("who"), which = byId("which"), sure = byId("sure"), shownFirst = 4;
  const clock = seconds => {
    const all = Math.floor(seconds), hours = Math.floor(all / 3600), two = number => String(number).padStart(2, "0");
    return (hours ? hours + ":" + two(Math.floor(all / 60) % 60) : Math.floor(all / 60)) + ":" + two(all % 60);
  };
  const numberOf = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  function filter() {
    const sought = search.value.trim().toLowerCase(), least = +sure.value;
    let recordings = 0, utterances = 0;
    byId("least").textContent = least + " %";
    for (const { row, about } of rows) {
      const named = about.name.toLowerCase().includes(sought);
      const fits = about.rows.filter(([speaker, labels, confidence, , text]) =>
        (who.value === "" || speaker === +who.value) && (which.value === "" || labels.map(String).includes(which.value)) && confidence >= least &&
        (named || (text || "").toLowerCase().includes(sought)));
      const narrowed = who.value !== "" || which.value !== "" || least > 0 || sought && !named;
      row.hidden = narrowed ? !fits.length : !named;
      const list = row.querySelector(".found");
      list.replaceChildren();
      if (row.hidden) continue;
      recordings++;
      utterances += fits.length;
      if (!narrowed) continue;
      for (const [speaker, labels, confidence, start, text] of fits.slice(0, shownFirst)) {
        const item = document.createElement("li"), link = document.createElement("a");
        link.href = `${about.page}#t=${start}`;
        link.textContent = clock(start);
        const said = { unsure: "unsure", none: "no label" }[labels[0]] || `${labels.map(label => data.labels[label]).join(", ")} ${confidence} %`;
        item.append(link, ` ${data.speakers[speaker]}${data.speakers[speaker] ? ": " : ""}${said}${text ? " – " + text : ""}`);
        list.append(item);
      }
      if (fits.length > shownFirst) {
        const more = document.createElement("li");
        more.textContent = `and ${fits.length - shownFirst} more`;
        list.append(more);
      }
    }
    byId("count").textContent = `${numberOf(recordings, "recording")}, ${numberOf(utterances, "utterance")}`;
  }
  for (const field of [search, who, which, sure]) field.addEventListener("input", filter);
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), key = button.dataset.sort, down = head.getAttribute("aria-sort") === "ascending";
      for (const other of document.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = ({ about }) => about[key];
      rows.sort((one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0) * (down ? -1 : 1));
      body.append(...rows.map(each => each.row));
    });
  }
  filter();
  document.documentElement.dataset.ready = "yes";
})();
