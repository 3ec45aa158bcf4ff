// Which of the service's routes are sealed, as its list says it.
import { canonicalTarget } from "./exchange.js";

/** A function that tells what is sealed: the row of a method and a path, or undefined. */
export function readRoutes(rows) {
  const of = (kind) => rows.filter(({ profile }) => profile === kind);
  const sealed = of("session").map(readRoute);
  // What would match a template, and is in clear.
  const clear = new Set(of("clear").flatMap(({ path, methods }) => methods.map((method) => `${method} ${path}`)));
  return (method, path) => {
    if (clear.has(`${method} ${path}`)) return undefined; // in no other spelling
    // A second slash is no way into the clear.
    const target = canonicalTarget(path).replace(/\/{2,}/g, "/");
    return sealed.find(({ pattern, methods }) => methods.includes(method) && pattern.test(target));
  };
}

/** A slash at the end is the same, lest what was meant to be sealed goes in clear. */
function readRoute({ path, methods, once }) {
  const parts = path.replace(/\/$/, "").split(/(\{\+?\w+\})/);
  const pattern = parts.map((part, at) => {
    if (at % 2) return part.startsWith("{+") ? ".+" : "[^/]+";
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return { pattern: new RegExp(`^${pattern.join("")}/?$`), methods, once };
}
