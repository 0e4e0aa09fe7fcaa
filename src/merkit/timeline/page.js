"use strict";
(() => {
  const byId = id => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const rows = [...document.querySelectorAll("#utterances li")];
  const items = rows.map((row, index) => {
    const [start, end, speaker, kind, labels] = row.dataset.t.split(",");
    return { row, index, start: start / 1000, end: end / 1000, speaker: +speaker, lane: Math.min(speaker, data.speakers.length - 1), kind, labels: labels.split("+"),
      name: kind === "unsure" ? "unsure" : kind === "none" ? "" : row.querySelector(".tag b").textContent };
  });
  const longest = items.reduce((most, each) => Math.max(most, each.end - each.start), 0);
  const audio = byId("audio"), whole = byId("whole"), detail = byId("detail"), cursor = whole.querySelector(".cursor");
  const view = whole.querySelector(".view"), play = byId("play"), time = byId("clock"), zoom = byId("zoom"), follow = byId("follow");
  const status = byId("status"), state = { now: 0, from: 0, current: null };
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");
  const peaks = Uint8Array.from(atob(data.peaks), letter => letter.charCodeAt(0));
  let ready = false;

  const two = number => String(number).padStart(2, "0");
  function clock(seconds, tenths) {
    const units = tenths ? Math.round(seconds * 10) : Math.floor(seconds) * 10;
    const all = Math.floor(units / 10), hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60;
    return (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(all % 60) + (tenths ? "." + units % 10 : "");
  }
  const span = () => Math.min(+zoom.value || data.duration, data.duration);

  function load() {
    if (ready || !audio) return;
    ready = true;
    const embedded = byId("sound");
    if (embedded) {
      const bytes = Uint8Array.from(atob(embedded.textContent), letter => letter.charCodeAt(0));
      audio.src = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
    } else {
      audio.src = audio.dataset.src;
    }
    audio.addEventListener("error", () => {
      status.textContent = "The sound cannot be played here: the recording was moved, or this browser cannot read its format.";
      play.disabled = true;
    });
    if (state.now) audio.addEventListener("loadedmetadata", () => { audio.currentTime = state.now; }, { once: true });
  }

  // The first utterances that begin after a time; those before it may still last.
  function after(seconds) {
    let low = 0, high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle].start <= seconds) low = middle + 1; else high = middle;
    }
    return low;
  }
  function at(seconds) {
    for (let index = after(seconds) - 1; index >= 0 && items[index].start >= seconds - longest; index--) {
      if (items[index].end > seconds) return index;
    }
    return -1;
  }

  const SVG = "http://www.w3.org/2000/svg";
  const pen = document.createElement("canvas").getContext("2d"), widths = new Map();
  pen.font = "12px " + getComputedStyle(detail).fontFamily;
  function widthOf(text) {
    if (!widths.has(text)) widths.set(text, pen.measureText(text).width);
    return widths.get(text);
  }
  // A name, or its beginning with an ellipsis; nothing where two letters have no room.
  function fitting(name, room) {
    if (widthOf(name) <= room) return name;
    for (let letters = name.length - 1; letters > 1; letters--) {
      const shortened = name.slice(0, letters) + "…";
      if (widthOf(shortened) <= room) return shortened;
    }
    return "";
  }
  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    detail.append(made);
    return made;
  }
  function draw() {
    const width = Math.max(detail.clientWidth || detail.parentNode.clientWidth, 50), from = state.from, length = span();
    const wave = peaks.length ? 74 : 0, named = data.speakers.some(Boolean), lane = data.speakers.length > 6 ? 22 : named ? 44 : 30, foot = 20, head = lane > 40 ? 16 : 3;
    const height = wave + lane * data.speakers.length + foot;
    detail.setAttribute("viewBox", `0 0 ${width} ${height}`);
    detail.style.height = height + "px";
    detail.replaceChildren();
    const x = seconds => (seconds - from) / length * width;
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find(each => each >= length / (width / 90)) || 7200;
    for (let mark = Math.ceil(from / step) * step; mark < from + length; mark += step) {
      shape("path", { class: "tick", d: `M${x(mark).toFixed(1)} 0V${height - foot}` });
      if (x(mark) + 3 + widthOf(clock(mark)) <= width) shape("text", { class: "tick", x: x(mark) + 3, y: height - 6 }, clock(mark));
    }
    if (peaks.length) {
      const bars = Math.min(Math.floor(width / 3), Math.ceil(length * data.per_s)), path = [];
      for (let bar = 0; bar < bars; bar++) {
        const first = Math.floor((from + bar / bars * length) * data.per_s);
        const last = Math.max(first + 1, Math.floor((from + (bar + 1) / bars * length) * data.per_s));
        let peak = 0;
        for (let place = first; place < last && place < peaks.length; place++) peak = Math.max(peak, peaks[place]);
        const half = Math.max(.6, peak / 255 * (wave / 2 - 4));
        path.push(`M${((bar + .5) / bars * width).toFixed(1)} ${(wave / 2 - half).toFixed(1)}v${(2 * half).toFixed(1)}`);
      }
      shape("path", { class: "wave", d: path.join("") });
    }
    for (let index = after(from + length) - 1; index >= 0 && items[index].start >= from - longest; index--) {
      const each = items[index];
      if (each.end <= from) continue;
      const left = Math.max(x(each.start), -2), wide = Math.max(Math.min(x(each.end), width + 2) - left - 1, 1), top = wave + lane * each.lane + head, tall = lane - head - 3;
      const labelled = /^l\d+$/.test(each.kind);
      const box = shape("rect", { class: `box ${each.kind}${index === state.current ? " current" : ""}`, x: left, y: top, width: wide, height: tall, rx: 3 });
      if (labelled) box.style.fill = `url(#p${each.kind.slice(1)})`;
      const shown = fitting(each.name, wide - 4);
      if (shown) {
        const long = widthOf(shown), inset = Math.min(5.5, (wide - long) / 2), edge = Math.min(3, inset - .5);
        if (labelled) { const back = shape("rect", { class: each.kind, x: left + inset - edge, y: top + 3, width: long + 2 * edge, height: tall - 6, rx: 2 }); back.style.opacity = .85; }
        shape("text", { class: labelled ? "" : "free", x: left + inset, y: top + tall / 2 + 4.5 }, shown);
      }
    }
    data.speakers.forEach((name, number) => {
      if (lane > 40) shape("text", { class: "free", x: 2, y: wave + lane * number + 12 }, name || "speaker unknown");
    });
    shape("path", { class: "now", id: "now", d: "" });
    place();
  }
  function place() {
    const length = span(), now = byId("now"), across = (state.now - state.from) / length * (detail.viewBox.baseVal.width || 0);
    if (now) now.setAttribute("d", across >= 0 ? `M${across.toFixed(1)} 0V${detail.viewBox.baseVal.height - 20}` : "");
    cursor.style.left = 100 * state.now / data.duration + "%";
    view.style.left = 100 * state.from / data.duration + "%";
    view.style.width = 100 * length / data.duration + "%";
    view.hidden = length >= data.duration;
  }

  function meters(target, title, shares, label) {
    const box = document.createElement("div"), head = document.createElement("h3"), grid = document.createElement("div");
    head.textContent = title;
    grid.className = "current-prediction";
    shares.forEach((share, number) => {
      const name = document.createElement(data.labels[number] === label ? "b" : "span"), meter = document.createElement("span"), value = document.createElement("span");
      name.textContent = data.labels[number];
      meter.className = "meter";
      const bar = document.createElement("i");
      bar.style.width = share + "%";
      bar.style.background = `var(--s${data.styles[number]})`;
      meter.append(bar);
      value.textContent = share + " %";
      value.className = "n";
      grid.append(name, meter, value);
    });
    box.append(head, grid);
    target.append(box);
  }
  function describe() {
    const box = byId("prediction"), each = items[state.current];
    box.replaceChildren();
    if (!each) { box.textContent = "No utterance here."; return; }
    const said = document.createElement("p");
    said.textContent = `${[".time", ".who"].map(selector => each.row.querySelector(selector).textContent).filter(Boolean).join(" ")}: `;
    const strong = document.createElement("b");
    strong.textContent = each.row.querySelector(".tag").textContent.trim();
    said.append(strong);
    box.append(said);
    const grid = document.createElement("div");
    grid.className = "now-sources";
    const shares = (each.row.dataset.p || "").split("|").filter(Boolean);
    shares.forEach((one, number) => {
      const [title, label, values] = one.split(":");
      meters(grid, data.titles[title], values.split("-").map(Number), data.labels[label]);
    });
    box.append(grid);
  }

  function show(seconds, moved) {
    state.now = Math.min(Math.max(seconds, 0), data.duration);
    const length = span(), current = at(state.now);
    const outside = state.now < state.from || state.now > state.from + length * .92;
    let redraw = false;
    if (outside || moved && (state.now < state.from || state.now > state.from + length)) {
      state.from = Math.max(0, Math.min(state.now - length * .12, data.duration - length));
      redraw = true;
    }
    if (current !== state.current) {
      if (items[state.current]) items[state.current].row.removeAttribute("aria-current");
      state.current = current;
      if (items[current]) {
        items[current].row.setAttribute("aria-current", "true");
        if (follow.checked) reveal(items[current].row);
      }
      describe();
      redraw = true;
    }
    if (redraw) draw(); else place();
    time.textContent = `${clock(state.now, true)} / ${clock(data.duration)}`;
    whole.setAttribute("aria-valuenow", state.now.toFixed(1));
    const each = items[current];
    whole.setAttribute("aria-valuetext", [clock(state.now), ...(each ? [each.row.querySelector(".who").textContent, each.name || "no label"] : [])].filter(Boolean).join(", "));
  }
  function reveal(row) {
    const list = row.parentNode, inner = list.scrollHeight > list.clientHeight + 4 && getComputedStyle(list).overflowY !== "visible";
    if (inner) {  // to a third of what is seen of the list, and whole
      const { top, bottom } = list.getBoundingClientRect(), seen = Math.max(Math.min(bottom, innerHeight) - Math.max(top, 0), 0);
      list.scrollTo({ top: row.offsetTop - Math.max(-top, 0) - Math.max(Math.min(seen / 3, seen - row.offsetHeight), 0), behavior: reduced.matches ? "auto" : "smooth" });
    }
    else if (!audio || !audio.paused) row.scrollIntoView({ block: "center", behavior: reduced.matches ? "auto" : "smooth" });
  }
  function seek(seconds) {
    load();
    show(seconds, true);
    if (audio && audio.readyState) audio.currentTime = state.now;
    else if (audio) audio.addEventListener("loadedmetadata", () => { audio.currentTime = state.now; }, { once: true });
  }
  function toggle() {
    if (!audio || play.disabled) return;
    load();
    if (audio.paused) audio.play().catch(() => {}); else audio.pause();
  }
  function step(direction) {
    const shown = items.filter(each => !each.row.hidden);
    const next = direction > 0 ? shown.find(each => each.start > state.now + .01) : shown.reverse().find(each => each.start < state.now - .3);
    if (next) seek(next.start);
  }

  if (audio) {
    audio.controls = false;
    audio.hidden = true;
    play.addEventListener("click", toggle);
    const showState = () => { play.textContent = audio.paused ? "▶ Play" : "⏸ Pause"; play.setAttribute("aria-pressed", String(!audio.paused)); };
    audio.addEventListener("play", showState);
    audio.addEventListener("pause", showState);
    audio.addEventListener("timeupdate", () => show(audio.currentTime));
    const frame = () => { if (!audio.paused) { show(audio.currentTime); requestAnimationFrame(frame); } };
    audio.addEventListener("play", () => requestAnimationFrame(frame));
    byId("speed").addEventListener("change", event => { audio.playbackRate = +event.target.value; });
  }
  const across = (event, box) => { const area = box.getBoundingClientRect(); return (event.clientX - area.left) / area.width; };
  whole.addEventListener("pointerdown", event => {
    if (event.button) return;
    whole.setPointerCapture(event.pointerId);  // until it is up, or the browser scrolls with it
    seek(across(event, whole) * data.duration);
  });
  whole.addEventListener("pointermove", event => {
    if (whole.hasPointerCapture(event.pointerId)) seek(across(event, whole) * data.duration);
  });
  detail.addEventListener("click", event => seek(state.from + across(event, detail) * span()));
  byId("utterances").addEventListener("click", event => {
    const row = event.target.closest("li");
    if (row && !String(getSelection())) seek(items[rows.indexOf(row)].start + .001);
  });
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-seek]");
    if (button) seek(+button.dataset.seek + .001);
  });
  for (const chart of document.querySelectorAll("svg.course")) {
    chart.addEventListener("click", event => {
      const left = +chart.dataset.left / 640, right = +chart.dataset.right / 640, place = (across(event, chart) - left) / (right - left);
      if (place >= 0 && place <= 1) seek(place * data.duration);
    });
  }
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest("input, select, textarea"), inButton = event.target.closest("button, a, summary");
    const jumps = { ArrowLeft: -5, ArrowRight: 5, PageUp: -30, PageDown: 30 };
    if (inField) return;
    if (event.target === whole && event.key in jumps || (event.key === "ArrowLeft" || event.key === "ArrowRight") && !event.target.closest("ol")) seek(state.now + jumps[event.key]);
    else if (event.target === whole && event.key === "Home") seek(0);
    else if (event.target === whole && event.key === "End") seek(data.duration);
    else if (event.key === " " && !inButton) toggle();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else return;
    event.preventDefault();
  });
  zoom.addEventListener("change", () => { state.from = Math.max(0, Math.min(state.now - span() / 2, data.duration - span())); draw(); });
  addEventListener("resize", draw);

  const search = byId("search"), who = byId("who"), which = byId("which"), sure = byId("sure"), count = byId("count");
  const words = rows.map(row => row.textContent.toLowerCase());
  function filter() {
    const sought = search.value.trim().toLowerCase();
    let shown = 0;
    byId("least").textContent = sure.value + " %";
    items.forEach((each, index) => {
      const fits = (!sought || words[index].includes(sought)) && (who.value === "" || each.speaker === +who.value) &&
        (which.value === "" || each.kind === which.value || each.labels.includes(which.value)) && (+sure.value === 0 || +(each.row.dataset.c || 0) >= +sure.value);
      each.row.hidden = !fits;
      shown += fits;
    });
    count.textContent = shown === items.length ? `${shown} utterance${shown === 1 ? "" : "s"}` : `${shown} of ${items.length} utterances`;
  }
  for (const field of [search, who, which, sure]) field.addEventListener("input", filter);
  filter();

  const asked = /^#t=([\d.]+)$/.exec(location.hash);
  show(0, true);
  draw();
  if (asked) seek(+asked[1]);
  addEventListener("hashchange", () => { const moved = /^#t=([\d.]+)$/.exec(location.hash); if (moved) seek(+moved[1]); });
  document.documentElement.dataset.ready = "yes";
})();
