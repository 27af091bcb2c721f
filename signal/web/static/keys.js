// Shortcuts of one key, which are off while somebody types or a dialog is open.

// bindKeys runs actions[key]; "Arrow" stands for any arrow key when nothing in
// particular has the focus. What an action returns does not matter.
export function bindKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    if (key === "Escape") {
      actions.Escape();
      return;
    }
    if (typing(target)) return;
    // Before a call there is nothing to switch; only the list of keys is there.
    if (document.body.dataset.state === "idle" && key !== "?") return;
    const name = key.startsWith("Arrow") && target === document.body ? "Arrow" : key;
    if (!Object.hasOwn(actions, name)) return;
    actions[name]();
    event.preventDefault();
  });
}

function typing(element) {
  return element.matches("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio])");
}
