// The bank's connection, with each call told from both ends: what the page's code gave and got, and
// what travelled. Sealing is the business of Flask-Sealed's own module, which the bank serves.

import { overheard, tapped } from "./tap.js";

/**
 * Connect to the bank: once it has proved that it has one of the keys that this page pins.
 *
 * `show` gets {inside, wire} for each call; `inside` is null for what the client asks on its own.
 * `hear` gets what travels, and no more than that.
 */
export async function connectShown({ client, ...pinned }, { show, hear }) {
  const calls = [];
  const travelled = (wire) => {
    hear(wire);
    const fits = ({ method, url }) => method === wire.method && pathOf(url) === pathOf(wire.url);
    const call = calls.find((one) => fits(one) && !one.wire) ?? calls.find(fits);
    if (call) call.wire = wire;
    else show({ inside: null, wire });
  };
  const { connect } = await import(client);
  // A bank leaves no session in the browser, and this one shows how each is agreed on.
  const api = await connect(location.origin, { ...pinned, keep: false, fetch: tapped(travelled) });

  async function shownFetch(input, init = {}) {
    const call = beginCall(api, new Request(input, init), init);
    calls.push(call);
    try {
      const answer = await api.fetch(input, { ...init, operation: call.operation });
      const { response, kept } = await overheard(answer);
      call.response = { status: answer.status, headers: [...answer.headers], body: kept };
      return response;
    } finally {
      calls.splice(calls.indexOf(call), 1);
      if (call.wire) show({ inside: call, wire: call.wire });
    }
  }

  return { fetch: shownFetch, events: (url, init) => eventsShown(api, calls, show, url, init) };
}

const pathOf = (url) => new URL(url).pathname;

function beginCall(api, request, init) {
  const { method, url } = request;
  // Named here, so that it can be shown: it is in the seal, and the same in each attempt.
  const operation = method === "GET" ? undefined : api.operation();
  const query = init.sealQuery ? new URL(url).search.slice(1) : undefined;
  return { method, url, query, headers: [...request.headers], body: init.body ?? null, operation };
}

/** Sealed Server-Sent Events. What is in them is shown by whoever listens. */
function eventsShown(api, calls, show, url, init) {
  const source = api.eventSource(url, init);
  const headers = [["accept", "text/event-stream"], ...Object.entries(init.headers)];
  const call = { method: "GET", url: source.url, headers, body: null };
  calls.push(call);
  source.addEventListener("open", () => {
    call.response = { status: 200, headers: [["content-type", "text/event-stream"]], body: null };
    if (call.wire) show({ inside: call, wire: call.wire });
    call.wire = undefined;
  });
  const { close } = source;
  source.close = () => {
    if (calls.includes(call)) calls.splice(calls.indexOf(call), 1);
    close.call(source);
  };
  return source;
}
