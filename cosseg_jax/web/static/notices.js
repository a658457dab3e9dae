// Messages that stay until they are dismissed, at the bottom, where they move nothing.

const list = document.getElementById("notices");

export function tell(message) {
  if ([...list.children].some((each) => each.firstChild.textContent === message)) return;
  const notice = document.createElement("div");
  const text = document.createElement("p");
  const dismiss = document.createElement("button");
  text.textContent = message;
  dismiss.type = "button";
  dismiss.textContent = "Dismiss";
  dismiss.addEventListener("click", () => notice.remove());
  notice.append(text, dismiss);
  list.append(notice);
}

export const clear = () => list.replaceChildren();
