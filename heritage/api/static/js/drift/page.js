// Drift: the fleet by how bad it is, and one version's windows and columns.
import { fleetPage } from "./fleet.js";
import { versionPage } from "./version.js";

export const render = (root, { id, query }) => (id ? versionPage(root, id, query) : fleetPage(root));
