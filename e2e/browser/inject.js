// Runs before the page's own scripts: keeps the page's peer connections where the
// test finds them, limits what a call may use, and makes the fake camera cheap.
// The transport is "", "udp", "tcp", "tls" or "https": on the page's own port.
(() => {
  const transport = "{{transport}}";
  const pcs = [];
  const fits = (url) => {
    if (transport === "https") return url.startsWith("turns:") && url.includes(`:${location.port}?`);
    const tls = url.startsWith("turns:"), tcp = url.includes("transport=tcp");
    if (!url.startsWith("turn")) return false;
    return transport === "tls" ? tls : transport === "tcp" ? tcp && !tls : !tcp && !tls;
  };
  const limit = (cfg) => {
    if (!transport || !cfg || !cfg.iceServers) return cfg;
    const iceServers = cfg.iceServers
      .map((s) => ({ ...s, urls: [].concat(s.urls).filter(fits) }))
      .filter((s) => s.urls.length);
    return { ...cfg, iceServers };
  };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(cfg, ...rest) {
      super(limit(cfg), ...rest);
      pcs.push(this);
    }
    setConfiguration(cfg) { super.setConfiguration(limit(cfg)); }
  };
  const live = () => pcs.filter((pc) => pc.connectionState !== "closed");
  const ufrag = (pc) => /a=ice-ufrag:(\S+)/.exec(pc.localDescription?.sdp ?? "")?.[1] ?? "";
  document.addEventListener("click", (e) => (window.probe.clicked = e.timeStamp), true);
  window.probe = {
    pcs,
    clicked: 0, // when, by performance.now()
    // What the live connections receive and over which candidates.
    async calls() {
      const out = [];
      for (const pc of live()) {
        const c = { state: pc.connectionState, decoded: 0, audio: 0, local: "", remote: "", relay: "", localAddresses: [], remoteAddress: "", ufrag: ufrag(pc) };
        const stats = await pc.getStats();
        for (const s of stats.values()) {
          if (s.type === "inbound-rtp" && s.kind === "video") c.decoded += s.framesDecoded || 0;
          if (s.type === "inbound-rtp" && s.kind === "audio") c.audio += s.packetsReceived || 0;
          // Firefox marks the pair itself.
          const chosen = s.type === "transport" ? s.selectedCandidatePairId : s.type === "candidate-pair" && s.selected ? s.id : "";
          if (chosen) {
            const pair = stats.get(chosen);
            const local = pair && stats.get(pair.localCandidateId), remote = pair && stats.get(pair.remoteCandidateId);
            if (local) { c.local = local.candidateType; c.relay = local.relayProtocol || ""; c.localAddresses = [local.address, local.relatedAddress].filter(Boolean); }
            if (remote) { c.remote = remote.candidateType; c.remoteAddress = remote.address || ""; }
          }
        }
        out.push(c);
      }
      return out;
    },
  };
  const devices = navigator.mediaDevices;
  if (devices) {
    const get = devices.getUserMedia.bind(devices);
    devices.getUserMedia = (c) => {
      if (c && c.video) {
        const rest = c.video === true ? {} : c.video;
        c = { ...c, video: { ...rest, width: 320, height: 240, frameRate: {{fps}} } };
      }
      return get(c);
    };
  }
})();
