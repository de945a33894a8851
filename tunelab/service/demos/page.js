"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const GREATEST = 65535;
  const SECONDS = 20; // from the first step to the last at speed 1
  const SLOW = 20; // steps around which the pace changes: the first ones are the most eventful
  const BOLD = 2, FINE = 1.4; // widths of lines in pictures and in charts

  const play = document.getElementById("play");
  const slider = document.getElementById("step");
  const shown = document.getElementById("shown");
  const speed = document.getElementById("speed");
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const wantsStillness = matchMedia("(prefers-reduced-motion: reduce)");
  const hidden = new Set();
  let step = 0, playing = false, lastTime = null;
  // Chromium sends no event of a change that a script has seen before it: ask in the event alone.
  let dark = wantsDark.matches;
  let theme = {};

  // ---- data: see encode_run in page.py ----

  function decode(text, [left, right, bottom, top]) {
    const binary = atob(text);
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const n = bytes.length / 6;
    const [lowest, highest] = data.logarithms;
    const share = (index) => view.getUint16(2 * index, true) / GREATEST;
    const along = (index) => share(index) * (1 + 2 * data.beyond) - data.beyond;
    const run = { n, x: new Float64Array(n), y: new Float64Array(n), gap: new Float64Array(n) };
    for (let i = 0; i < n; i++) {
      run.x[i] = along(i); // as a share of the picture's width, from the left
      run.y[i] = 1 - along(n + i); // and of its height, from the top
      run.gap[i] = lowest + share(2 * n + i) * (highest - lowest); // a power of ten
    }
    return run;
  }

  for (const surface of data.surfaces) {
    surface.runs = surface.runs.map((run) => ({ ...run, ...decode(run.path, surface.window) }));
  }

  // ---- drawing ----

  function readTheme() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ground", "soft", "line"];
    theme = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  const colour = (optimizer) => (dark ? optimizer.dark : optimizer.light);

  function drawMark(pen, optimizer, x, y, radius) {
    pen.beginPath();
    for (const [a, b] of optimizer.mark) pen.lineTo(x + radius * a, y - radius * b);
    pen.closePath();
    pen.setLineDash([]);
    pen.lineJoin = "round";
    pen.lineWidth = 2.5;
    pen.strokeStyle = theme.ground;
    pen.stroke();
    pen.fillStyle = colour(optimizer);
    pen.fill();
  }

  function drawLine(pen, optimizer, points, width) {
    pen.setLineDash(optimizer.dash.map((length) => length * width));
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.strokeStyle = colour(optimizer);
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(x, y);
    pen.stroke();
  }

  // The corners of a line that can be told apart, with the step of each.
  function corners(n, at) {
    const kept = [];
    let before = null;
    for (let i = 0; i < n; i++) {
      const [x, y] = at(i);
      if (before === null || Math.hypot(x - before[0], y - before[1]) > 0.6) {
        before = [x, y];
        kept.push([x, y, i]);
      }
    }
    return kept;
  }

  // What is drawn at a step: all corners before it, and the point at it.
  function upTo(run, line, at) {
    const last = Math.min(Math.floor(step), run.n - 1);
    const points = [];
    for (const corner of line) {
      if (corner[2] > last) break;
      points.push(corner);
    }
    const part = step - last;
    let end = at(last);
    if (last + 1 < run.n && part > 0) {
      const next = at(last + 1);
      end = [end[0] + part * (next[0] - end[0]), end[1] + part * (next[1] - end[1])];
    }
    points.push(end);
    return { points, end };
  }

  function fit(canvas) {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * ratio));
    canvas.height = Math.max(1, Math.round(box.height * ratio));
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { pen, width: box.width, height: box.height };
  }

  const surfaceOf = (canvas) => data.surfaces.find(({ name }) => name === canvas.dataset.surface);

  class Picture {
    constructor(canvas) {
      this.canvas = canvas;
      this.surface = surfaceOf(canvas);
    }
    resize() {
      Object.assign(this, fit(this.canvas));
      this.at = this.surface.runs.map((run) => (i) => [run.x[i] * this.width, run.y[i] * this.height]);
      this.lines = this.surface.runs.map((run, index) => corners(run.n, this.at[index]));
    }
    draw() {
      const { pen, width, height } = this;
      pen.clearRect(0, 0, width, height);
      const ends = [];
      this.surface.runs.forEach((run, index) => {
        const optimizer = data.optimizers[index];
        if (hidden.has(optimizer.name)) return;
        const { points, end } = upTo(run, this.lines[index], this.at[index]);
        drawLine(pen, optimizer, points, BOLD);
        ends.push([optimizer, end]);
      });
      for (const [optimizer, [x, y]] of ends) drawMark(pen, optimizer, x, y, 6);
    }
  }

  class Chart {
    constructor(canvas) {
      this.canvas = canvas;
      this.surface = surfaceOf(canvas);
      const gaps = this.surface.runs.flatMap((run) => [...run.gap]);
      this.high = Math.ceil(gaps.reduce((most, gap) => Math.max(most, gap), 0));
      this.high = Math.min(this.high, Math.ceil(this.surface.runs[0].gap[0]) + 1);
      this.low = Math.log10(this.surface.tolerance) - 2;
    }
    resize() {
      Object.assign(this, fit(this.canvas));
      this.left = 34;
      this.right = this.width - 16;
      this.top = 20;
      this.bottom = this.height - 30;
      const across = this.right - this.left, down = this.bottom - this.top;
      this.toX = (i) => this.left + (across * Math.log1p(i)) / Math.log1p(data.steps);
      this.toY = (gap) => this.top + (down * (this.high - gap)) / (this.high - this.low);
      this.at = this.surface.runs.map((run) => (i) => [this.toX(i), this.toY(run.gap[i])]);
      this.lines = this.surface.runs.map((run, index) => corners(run.n, this.at[index]));
    }
    axes() {
      const { pen, left, right, top, bottom } = this;
      const { soft, line } = theme;
      const across = (y) => {
        pen.beginPath();
        pen.moveTo(left, y);
        pen.lineTo(right, y);
        pen.stroke();
      };
      pen.clearRect(0, 0, this.width, this.height);
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = soft;
      pen.strokeStyle = line;
      pen.lineWidth = 1;
      pen.setLineDash([]);
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      for (let power = Math.ceil(this.low); power <= this.high; power += 2) {
        const y = Math.round(this.toY(power)) + 0.5;
        across(y);
        const label = power === 0 ? "1" : power === 1 ? "10" : `1e${power}`;
        pen.fillText(label, left - 5, y);
      }
      pen.textAlign = "center";
      pen.textBaseline = "top";
      for (let i = 1; i <= data.steps; i *= 10) pen.fillText(String(i), this.toX(i), bottom + 3);
      pen.fillText("steps", (left + right) / 2, bottom + 17);
      pen.textAlign = "left";
      pen.fillText("value above the minimum", 0, 0);
      const y = this.toY(Math.log10(this.surface.tolerance));
      pen.strokeStyle = soft;
      pen.setLineDash([6, 3]);
      across(y);
      pen.fillText("tolerance", left + 3, y + 3);
    }
    draw() {
      const { pen, left, right, top, bottom } = this;
      this.axes();
      pen.save();
      pen.beginPath();
      pen.rect(left, top - 4, right - left + 5, bottom - top + 4);
      pen.clip();
      const ends = [];
      this.surface.runs.forEach((run, index) => {
        const optimizer = data.optimizers[index];
        if (hidden.has(optimizer.name)) return;
        const { points, end } = upTo(run, this.lines[index], this.at[index]);
        drawLine(pen, optimizer, points, FINE);
        ends.push([optimizer, end]);
      });
      for (const [optimizer, [x, y]] of ends) drawMark(pen, optimizer, x, y, 4);
      pen.restore();
    }
  }

  const pictures = [
    ...[...document.querySelectorAll("canvas.paths")].map((canvas) => new Picture(canvas)),
    ...[...document.querySelectorAll("canvas.values")].map((canvas) => new Chart(canvas)),
  ];

  // ---- legend, in the controls and in the table ----

  const samples = [];

  function addSample(parent, optimizer, first) {
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    parent.insertBefore(canvas, first);
    samples.push([canvas, optimizer]);
  }

  for (const optimizer of data.optimizers) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(optimizer.name);
      else hidden.add(optimizer.name);
      draw();
    });
    label.append(box, optimizer.name);
    addSample(label, optimizer, label.lastChild);
    document.getElementById("legend").append(label);
  }
  for (const head of document.querySelectorAll("th[data-look]")) {
    const optimizer = data.optimizers.find(({ name }) => name === head.dataset.look);
    addSample(head, optimizer, head.firstChild);
  }

  function drawSamples() {
    for (const [canvas, optimizer] of samples) {
      const { pen, width, height } = fit(canvas);
      drawLine(pen, optimizer, [[1, height / 2], [width - 1, height / 2]], BOLD);
      drawMark(pen, optimizer, width / 2, height / 2, 6);
    }
  }

  // ---- time ----

  const timeOf = (at) => Math.log1p(at / SLOW) / Math.log1p(data.steps / SLOW);
  const stepAt = (time) => SLOW * Math.expm1(time * Math.log1p(data.steps / SLOW));

  function draw() {
    const whole = Math.floor(step);
    shown.value = whole;
    slider.value = whole;
    slider.setAttribute("aria-valuetext", `step ${whole}`);
    for (const picture of pictures) picture.draw();
  }

  function go(to) {
    step = Math.min(Math.max(to, 0), data.steps);
    draw();
  }

  function setPlaying(now) {
    if (now && step >= data.steps) step = 0;
    playing = now;
    lastTime = null;
    play.textContent = playing ? "Pause" : step >= data.steps ? "Replay" : "Play";
    if (playing) requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!playing) return;
    if (lastTime !== null) {
      // A tab in the background gets no frames: then time stands still.
      const passed = Math.min((now - lastTime) / 1000, 0.25) * Number(speed.value);
      go(stepAt(timeOf(step) + passed / SECONDS));
    }
    lastTime = now;
    if (step >= data.steps) setPlaying(false);
    else requestAnimationFrame(tick);
  }

  function seek(to) {
    setPlaying(false);
    go(to);
    setPlaying(false); // its name depends on the step
  }

  play.addEventListener("click", () => setPlaying(!playing));
  slider.addEventListener("input", () => seek(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    // What has the focus and knows the key keeps it.
    const used = event.target.closest("button, input, select, .scrolled");
    const by = event.shiftKey ? 10 : 1;
    const actions = {
      " ": () => setPlaying(!playing),
      ArrowRight: () => seek(Math.floor(step) + by),
      ArrowLeft: () => seek(Math.ceil(step) - by),
      Home: () => seek(0),
      End: () => seek(data.steps),
      "+": () => faster(1),
      "-": () => faster(-1),
    };
    const typed = event.key === "+" || event.key === "-";
    if (!actions[event.key] || (used && !typed && !(used === slider && event.key === " "))) return;
    event.preventDefault();
    actions[event.key]();
  });

  function faster(by) {
    const last = speed.options.length - 1;
    speed.selectedIndex = Math.min(Math.max(speed.selectedIndex + by, 0), last);
  }

  function layOut() {
    readTheme();
    for (const picture of pictures) picture.resize();
    drawSamples();
    draw();
  }

  new ResizeObserver(layOut).observe(document.querySelector(".cards"));
  wantsDark.addEventListener("change", (event) => {
    dark = event.matches;
    layOut();
  });
  wantsStillness.addEventListener("change", (event) => event.matches && setPlaying(false));

  layOut();
  if (wantsStillness.matches) seek(data.steps);
  else setPlaying(true);
})();
