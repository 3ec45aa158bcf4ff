import { bootstrapApplication } from "@angular/platform-browser";

import { App } from "./app/app";
import { appConfig, type Settings } from "./app/app.config";

// An application that is installed, or that another server delivers, has its pins in its own code.
const settings: Settings = await (await fetch("settings.json")).json();
await bootstrapApplication(App, appConfig(settings));
