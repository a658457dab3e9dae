"use strict";
(() => {
  const controls = document.getElementById("controls");
  const groupList = document.getElementById("groups");
  const photoList = document.getElementById("photos");
  const shown = document.getElementById("shown");
  const chunk = 25; // photos that the browser lays out, or skips, at once
  const number = new Intl.NumberFormat("en");

  const item = (node) => ({
    node,
    category: node.dataset.class,
    name: node.dataset.name,
    scores: node.dataset.scores.split(",").map((text) => (text === "" ? null : Number(text))),
    home: node.parentNode,
  });
  const groups = [...groupList.querySelectorAll(".group")].map(item);
  const photos = [...groupList.querySelectorAll(".photo")].map(item);

  const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  const byScore = (k, sign) => (a, b) => {
    const [x, y] = [a.scores[k], b.scores[k]];
    if (x === null || y === null) return (x === null) - (y === null); // undefined scores come last
    return sign * (x - y);
  };
  const orders = {
    class: () => 0,
    name: () => byName,
    best: (k) => byScore(k, -1),
    worst: (k) => byScore(k, 1),
  };

  const ordered = (items) => {
    const { order, score, only } = controls.elements;
    const kept = items.filter((one) => only.value === "" || one.category === only.value);
    return order.value === "class" ? kept : kept.sort(orders[order.value](Number(score.value)));
  };

  const showGroups = () => {
    for (const one of photos) one.home.append(one.node);
    photoList.replaceChildren();
    const kept = ordered(groups);
    for (const one of groups) one.node.hidden = true;
    for (const one of kept) {
      one.node.hidden = false;
      groupList.append(one.node);
    }
    return [kept.length, "group"];
  };

  const showPhotos = () => {
    const kept = ordered(photos);
    for (const one of photos) one.home.append(one.node);
    const boxes = [];
    for (let first = 0; first < kept.length; first += chunk) {
      const box = document.createElement("div");
      box.className = "photos";
      box.append(...kept.slice(first, first + chunk).map((one) => one.node));
      boxes.push(box);
    }
    photoList.replaceChildren(...boxes);
    return [kept.length, "photo"];
  };

  const report = (count, noun) => {
    shown.value = `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
  };

  const update = () => {
    const flat = controls.elements.show.value === "photos";
    const [count, noun] = flat ? showPhotos() : showGroups();
    groupList.hidden = flat;
    photoList.hidden = !flat;
    report(count, noun);
  };

  const show = (choices) => {
    for (const [name, value] of Object.entries(choices)) controls.elements[name].value = value;
    update();
  };

  // The controls may hide what a link leads to.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.closest("[hidden]")) return;
    show(target.matches(".group") ? { show: "groups", only: "" } : { only: "" });
    target.scrollIntoView();
  };

  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", () => {
    update();
    document.getElementById("list").scrollIntoView();
  });
  for (const link of document.querySelectorAll("[data-only]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show({ only: link.dataset.only });
      document.getElementById("list").scrollIntoView();
    });
  }
  addEventListener("hashchange", reveal);
  controls.hidden = false;
  report(groups.length, "group");
})();
