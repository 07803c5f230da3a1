// Evaluated in a page in a call: writes down what changes, and when, the way the
// user sees it (Unix milliseconds).
(() => {
  const events = (window.trace = []);
  const note = (what) => events.push({ at: Date.now(), what });
  const root = document.documentElement;
  for (const type of ["online", "offline"]) addEventListener(type, () => note(type));
  navigator.connection?.addEventListener("change", () => note("network information changed"));
  for (const [attribute, name] of [["data-connection", "server"], ["data-room", "room"], ["data-view", "view"]]) {
    new MutationObserver(() => note(`${name} ${root.getAttribute(attribute)}`)).observe(root, { attributeFilter: [attribute] });
  }
  const seen = {};
  const look = () => {
    for (const [name, id] of [["peer", "peer-state"], ["link", "link-state"]]) {
      const e = document.querySelector(`[data-testid="${id}"], #${id}`);
      const words = e?.checkVisibility() ? e.textContent : "";
      if (words !== (seen[name] ?? "")) note(`${name} says: ${words || "nothing"}`);
      seen[name] = words;
    }
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  const pc = window.probe.pcs.at(-1);
  for (const state of ["iceConnectionState", "connectionState", "signalingState"]) {
    pc.addEventListener(state.toLowerCase() + "change", () => note(`${state} ${pc[state]}`));
  }
  pc.addEventListener("icecandidate", (e) => e.candidate?.candidate && note(`candidate ${e.candidate.type} ${e.candidate.address}`));
  document.querySelector('[data-testid="remote-video"]').marked = true;
  window.rondo.room.call.on("quality", ({ quality: q }) => q.bars < 2 && note(`quality ${q.bars}, ${Math.round(q.bitrate)} bit/s, ${q.fps} fps`));
  let decoded = -1, rose = Date.now(), moves = true;
  setInterval(async () => {
    const [c] = await window.probe.calls();
    if (!c) return;
    if (c.decoded !== decoded) {
      if (!moves) note("picture moves");
      [decoded, rose, moves] = [c.decoded, Date.now(), true];
    } else if (moves && Date.now() - rose > 1000) {
      note("picture stands");
      moves = false;
    }
  }, 200);
})();
