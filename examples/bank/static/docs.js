// Swagger UI, as it comes. What it sends, the service worker seals; so it starts when that is at work.

const { serviceWorker } = navigator;
await serviceWorker.register("/docs/sw.js", { type: "module" });
await serviceWorker.ready;
if (serviceWorker.controller) {
  globalThis.SwaggerUIBundle({ url: "/docs/openapi.json", dom_id: "#docs", deepLinking: false });
} else {
  location.reload(); // The first visit, or a forced reload, which leaves workers out.
}
