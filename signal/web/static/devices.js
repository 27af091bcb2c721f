// The choice of devices and sources: what the browser has, in the form before the
// call and in the panel during it.

import { $ } from "./frame.js";
import { deviceLists } from "./source.js";

const KINDS = [["video", "camera"], ["audio", "microphone"]];

export class Devices {
  // change(kind, to) is called when another source is chosen during the call.
  constructor(form, panel, change) {
    this.form = form;
    this.panel = panel;
    this.button = $("#source");
    this.button.addEventListener("click", () => this.toggle());
    panel.addEventListener("change", ({ target }) => {
      const [kind] = KINDS.find(([kind, device]) => target.name === `live-${kind}` || target.name === device);
      this.copyChoice();
      change(kind, target.matches("select") ? target.name : target.value);
    });
    form.addEventListener("change", () => this.showPickers());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.refresh());
    if (!navigator.mediaDevices?.getDisplayMedia) {
      for (const input of document.querySelectorAll('input[value="screen"]')) {
        input.disabled = true;
        input.parentElement.title = "This browser cannot share a screen here";
      }
    }
  }

  // markCodecs disables what this browser cannot send.
  markCodecs() {
    const codecs = globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs;
    if (!codecs) return; // it does not say: let people try
    const known = new Set(codecs.map(({ mimeType }) => mimeType.split("/")[1].toUpperCase()));
    for (const option of this.form.elements.codec.options) {
      if (!option.value || known.has(option.value)) continue;
      option.disabled = true;
      option.textContent += " (not in this browser)";
    }
  }

  // chosen returns the device ids of { camera, microphone }; empty: any.
  chosen() {
    return { camera: this.form.elements.camera.value, microphone: this.form.elements.microphone.value };
  }

  copyChoice() {
    for (const [, device] of KINDS) {
      this.form.elements[device].value = this.panel.querySelector(`select[name="${device}"]`).value;
    }
  }

  // refresh reads which devices there are; their names are known once there is
  // permission to use them.
  async refresh() {
    const lists = await deviceLists();
    for (const [, device] of KINDS) {
      for (const select of document.querySelectorAll(`select[name="${device}"]`)) {
        const chosen = select.value;
        select.replaceChildren(...lists[device].map(({ id, label }) => new Option(label, id)));
        if (lists[device].some(({ id }) => id === chosen)) select.value = chosen;
      }
    }
    this.showPickers();
  }

  showPickers() {
    for (const select of document.querySelectorAll(".pick select")) {
      const device = select.name;
      const inUse = select.closest("fieldset").querySelector(`input[value="${device}"]`).checked;
      select.parentElement.hidden = !inUse || select.options.length < 2;
    }
  }

  // show marks what the source sends now.
  show(source) {
    for (const [kind] of KINDS) {
      for (const input of this.panel.querySelectorAll(`[name="live-${kind}"]`)) {
        input.checked = input.value === source[kind].kind;
      }
    }
    this.showPickers();
  }

  toggle(open = this.panel.hidden) {
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.panel.querySelector("input:checked")?.focus();
  }

  // close says whether the panel was open.
  close() {
    if (this.panel.hidden) return false;
    if (this.panel.contains(document.activeElement)) this.button.focus();
    this.toggle(false);
    return true;
  }
}
