// Runs in a page before anything else does, and takes the times of what its user sees.
(() => {
  // A message of this many bytes is a graph; everything else that a kernel says is shorter.
  const GRAPH_BYTES = 50_000;
  const probe = { arrived: 0, firstPaint: null, samples: [] };
  window.workbenchProbe = probe;

  /** Call back when the next frame is done: scripts, style, layout, paint. */
  const afterFrame = (then) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => then(performance.now());
      channel.port2.postMessage(null);
    });

  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...options) {
      super(...options);
      // Before JupyterLab's own listener: unpacking the message counts.
      this.addEventListener("message", ({ data }) => {
        const size = data.byteLength ?? data.size ?? data.length;
        if (size >= GRAPH_BYTES && probe.arrived === 0) probe.arrived = performance.now();
      });
    }
  };

  /** Forget what was seen: the next graph that arrives is timed until it is painted. */
  probe.expectGraph = () => {
    Object.assign(probe, { arrived: 0, firstPaint: null });
    new MutationObserver((changes, observer) => {
      if (!changes.some(({ target }) => target.dataset.testid === "graph-explorer")) return;
      observer.disconnect();
      afterFrame((now) => {
        probe.firstPaint = now - probe.arrived;
      });
    }).observe(document, { subtree: true, attributeFilter: ["data-ready"] });
  };

  /**
   * From now on time every event of a type: from the moment it happened, and from the moment the page began to deal
   * with it, to the end of the frame that shows what came of it; and whether what a function returns has changed.
   */
  probe.time = (type, look) => {
    const samples = [];
    let last = look();
    probe.samples = samples;
    probe.stop?.();
    const listener = ({ timeStamp }) => {
      const began = performance.now();
      afterFrame((now) => {
        const seen = look();
        samples.push({ ms: now - timeStamp, work: now - began, changed: seen !== last });
        last = seen;
      });
    };
    addEventListener(type, listener, true);
    probe.stop = () => removeEventListener(type, listener, true);
  };

  /**
   * From now on time every event of a type until the end of the frame in which an attribute of something inside an
   * element has another value: to write the same one again is no answer. An event that comes before the answer to the one before it starts the clock anew.
   */
  probe.until = (type, element, attribute) => {
    const samples = [];
    let since = null;
    probe.samples = samples;
    probe.stop?.();
    const listener = ({ timeStamp }) => {
      since = timeStamp;
    };
    const observer = new MutationObserver((changes) => {
      const changed = changes.some(({ target, oldValue }) => target.getAttribute(attribute) !== oldValue);
      if (since === null || !changed) return;
      const began = since;
      since = null;
      afterFrame((now) => samples.push({ ms: now - began }));
    });
    observer.observe(element, { subtree: true, attributeFilter: [attribute], attributeOldValue: true });
    addEventListener(type, listener, true);
    probe.stop = () => {
      removeEventListener(type, listener, true);
      observer.disconnect();
    };
  };
})();
