// An ordinary page. The first two lines are all that the service worker asks of it.
await navigator.serviceWorker.register("/sw.js", { type: "module" });
await controlled();

const record = await (await fetch("/records/ada")).json();
document.querySelector("#name").textContent = record.name;
document.querySelector("#diagnosis").textContent = record.diagnosis;
for (const note of record.notes) document.querySelector("#notes").append(Object.assign(document.createElement("li"), { textContent: note }));
document.querySelector("#portrait").src = "/records/ada/portrait.svg";
document.querySelector("#record").hidden = false;
document.querySelector("#status").textContent = "";

/** Waits for the worker. Until then nothing would be sealed; after a forced reload, it never would be. */
async function controlled() {
  const { serviceWorker } = navigator;
  if (serviceWorker.controller) return;
  await serviceWorker.ready;
  if (!serviceWorker.controller) {
    await new Promise((resolve) => {
      serviceWorker.addEventListener("controllerchange", resolve, { once: true });
      setTimeout(() => location.reload(), 3000);
    });
  }
}
