/* What the reader has done, kept in this browser alone: "02 read", "02 quiz 1", "02.1" for exercise 2.1. */

"use strict";

(() => {
  const KEY = "medgan-course: done";

  const allowed = (() => {
    try {
      localStorage.setItem(`${KEY}?`, "");
      localStorage.removeItem(`${KEY}?`);
      return true;
    } catch {
      return false; // forbidden, or full
    }
  })();

  function done() {
    try {
      return new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
    } catch {
      return new Set(); // somebody else's, or damaged
    }
  }

  function keep(item, yes) {
    const items = done();
    items[yes ? "add" : "delete"](item);
    localStorage.setItem(KEY, JSON.stringify([...items].sort()));
    show();
  }

  function show() {
    const items = done();
    for (const box of document.querySelectorAll("input[data-done]")) {
      box.checked = items.has(box.dataset.done);
      box.disabled = false;
    }
    for (const mark of document.querySelectorAll(".answered")) mark.hidden = !items.has(mark.dataset.of);
    const soFar = document.getElementById("done-so-far");
    if (soFar) {
      const count = (what) => {
        const boxes = [...document.querySelectorAll("input[data-done]")].filter((b) => what.test(b.dataset.done));
        return `${boxes.filter((b) => b.checked).length} of ${boxes.length}`;
      };
      soFar.textContent =
        `So far: ${count(/read$/)} chapters read, ${count(/quiz/)} questions answered, ` +
        `${count(/\./)} exercises solved.`;
      document.getElementById("done-delete").disabled = items.size === 0;
    }
  }

  function box(item, text) {
    const label = document.createElement("label");
    label.className = "done";
    label.innerHTML = `<input type="checkbox" data-done="${item}"> ${text}`;
    return label;
  }

  /* A chapter: its quiz notices the right option, and below it one says that the chapter is read. */
  function chapter(number, quiz) {
    let mark;
    for (const part of quiz.children) {
      const question = part.matches("p") && part.textContent.match(/^(\d+)\. /);
      if (question) {
        mark = document.createElement("span");
        mark.className = "answered";
        mark.dataset.of = `${number} quiz ${question[1]}`;
        mark.textContent = "✓ answered";
        part.append(" ", mark);
      } else if (part.matches("details.option") && part.querySelector("strong")?.textContent === "Right.") {
        const item = mark.dataset.of;
        part.addEventListener("toggle", () => part.open && keep(item, true));
      }
    }
    const end = document.createElement("p");
    end.append(box(`${number} read`, "I have read this chapter."), " ");
    end.insertAdjacentHTML("beforeend", '<a href="../book/progress.html">What you have done</a>');
    quiz.append(end);
  }

  function exercises(number) {
    for (const section of document.querySelectorAll('section[id^="exercise-"]')) {
      const found = section.querySelector("h2").textContent.match(/^Exercise \d+\.(\d+)/);
      if (found) section.append(box(`${number}.${found[1]}`, "I have solved this exercise."));
    }
  }

  if (!allowed) {
    const soFar = document.getElementById("done-so-far");
    if (soFar) soFar.textContent = "This browser forbids the page to keep anything. All else in the book works.";
    return;
  }
  const [, folder, number] = location.pathname.match(/\/(chapters|exercises)\/(\d\d)_[^/]*$/) ?? [];
  const quiz = document.getElementById("quiz");
  if (folder === "chapters" && quiz) chapter(number, quiz);
  if (folder === "exercises") exercises(number);
  addEventListener("change", ({ target }) => target.matches("input[data-done]") && keep(target.dataset.done, target.checked));
  addEventListener("storage", show); // another tab
  addEventListener("pageshow", show); // also on the way back
  document.getElementById("done-delete")?.addEventListener("click", () => {
    if (!confirm("Delete everything that this page has kept?")) return;
    localStorage.removeItem(KEY);
    show();
  });
})();
