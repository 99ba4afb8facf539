/* The reader test on the page: one image after another, and what the answers show once all are given. */

import { draw, load } from "./images.js";
import { normal, power, score } from "./statistics.js";

const KEYS = { g: false, ArrowLeft: false, r: true, ArrowRight: true };
const ABLE = 0.7; // right in this share of all cases: sees something

const TEST = `
  <canvas class="turing-image" role="img"></canvas>
  <div class="turing-panel">
    <p class="turing-count" role="status"></p>
    <p class="turing-question"></p>
    <div class="turing-buttons" role="group" aria-label="This image is">
      <button type="button" data-real="">Generated <kbd>G</kbd></button>
      <button type="button" data-real="yes">Real <kbd>R</kbd></button>
    </div>
  </div>`;

const RESULT = `
  <p class="turing-verdict" tabindex="-1"></p>
  <table><caption>Your answers, with 95 % intervals</caption><tbody></tbody></table>
  <p class="turing-power"></p>
  <ol class="turing-truth"></ol>
  <p class="turing-source"></p>`;

export async function start(figure) {
  if (!document.createElement("canvas").getContext("2d")) throw new Error("This browser has no canvas to draw on.");
  const test = await load();
  const answers = [];
  const stage = figure.querySelector(".turing-stage");
  stage.innerHTML = TEST;
  const image = stage.querySelector(".turing-image");

  const show = () => {
    const which = `${answers.length + 1} of ${test.isReal.length}`;
    draw(image, test.sheet, answers.length);
    image.setAttribute("aria-label", `Chest X-ray ${which}`);
    stage.querySelector(".turing-count").textContent = `Image ${which}`;
  };
  const answer = (real) => {
    answers.push(real);
    if (answers.length < test.isReal.length) return show();
    figure.removeEventListener("keydown", press);
    figure.dataset.state = "done";
    report(stage, test, answers);
  };
  const press = (event) => {
    if (event.key === "Enter" && event.repeat) event.preventDefault(); // a key held down is one answer
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) answer(KEYS[key]);
  };
  figure.addEventListener("keydown", press);
  for (const button of stage.querySelectorAll("button"))
    button.addEventListener("click", ({ detail }) => {
      button.focus({ preventScroll: true }); // Safari does not, and the keys would be lost
      if (detail < 2) answer(Boolean(button.dataset.real)); // a double click is one answer
    });
  stage.querySelector(".turing-question").textContent = test.surrogate
    ? "SURROGATE DATA: is it a computed phantom, in the place of an X-ray, or drawn by the network?"
    : "Is it the X-ray of a child, or drawn by the network? For each image a coin has decided.";
  show();
  figure.dataset.state = "ready";
}

function report(stage, test, answers) {
  const found = score(test.isReal, answers);
  stage.innerHTML = RESULT;
  const verdict = stage.querySelector(".turing-verdict");
  verdict.textContent = `You were right in ${found.right} of ${found.n}. ${judged(found)}`;
  const table = stage.querySelector("tbody");
  for (const [name, value, meaning] of rows(found)) {
    const row = table.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = value;
    row.insertCell().textContent = meaning;
  }
  const [able, lucky] = [power(ABLE, found.n), power(0.5, found.n)].map(percent);
  stage.querySelector(".turing-power").textContent =
    `${found.n} answers can hardly tell ${percent(0.5)} from ${percent(ABLE)}: of readers who are right in ${percent(ABLE)} of all ` +
    `cases, only ${able} would get an interval above one half. Of readers who toss a coin, ${lucky} do.`;
  const truth = stage.querySelector(".turing-truth");
  for (const [i, real] of test.isReal.entries()) {
    const item = document.createElement("li");
    const canvas = document.createElement("canvas");
    draw(canvas, test.sheet, i);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Chest X-ray ${i + 1}`);
    const kind = document.createElement("b");
    kind.className = real ? "turing-real" : "turing-generated";
    kind.textContent = !real ? "generated" : test.surrogate ? "phantom" : "real";
    const mark = document.createElement("span");
    mark.className = answers[i] === real ? "turing-right" : "turing-wrong";
    mark.textContent = answers[i] === real ? "✓ right" : "✗ wrong";
    item.append(canvas, kind, mark);
    truth.append(item);
  }
  stage.querySelector(".turing-source").textContent =
    `${test.source} Generated ones: the network of the DCGAN chapter. Nothing was selected by hand: coin and choice have seed ${test.seed}.`;
  verdict.focus({ preventScroll: true });
  verdict.scrollIntoView({ block: "nearest" });
}

function judged({ oneAnswer, accuracy: [, low, high] }) {
  if (oneAnswer) return "You gave one answer to all of them: nothing was compared, so nothing is shown.";
  if (low > 0.5) return "You see a difference: the whole interval lies above one half.";
  if (high < 0.5) return "You see a difference and take it the wrong way round: the whole interval lies below one half.";
  return "Whether you see a difference is open: one half lies in the interval.";
}

function rows({ accuracy, hits, real, alarms, generated, dPrime, criterion }) {
  return [
    ["right", interval(accuracy, percent), "one half: a coin"],
    ["hits", `${hits} of ${real}`, "real images called real"],
    ["false alarms", `${alarms} of ${generated}`, "generated images called real"],
    ["d′", interval(dPrime, decimals), `0: no difference seen; 1: right in ${percent(normal(0.5))}, 2: in ${percent(normal(1))}`],
    ["c", interval(criterion, decimals), "below 0 you lean to “real”, above it to “generated”"],
  ];
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const decimals = (value) => value.toFixed(2).replace("-", "−");
const interval = ([value, low, high], format) => `${format(value)} [${format(low)}, ${format(high)}]`;
