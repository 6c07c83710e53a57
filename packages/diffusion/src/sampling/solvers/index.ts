// Every solver there is, one line each, by the name of its function. Tests, docs/samplers.md and the command line walk this list.

export { ancestral } from "./ancestral.ts";
export { type DdimOptions, ddim } from "./ddim.ts";
export { type DeisOptions, deis } from "./deis.ts";
export { dpm2, dpm2Ancestral } from "./dpm2.ts";
export { type DpmSolverOptions, dpmSolver } from "./dpmSolver.ts";
export { type DpmSolverPlusPlusOptions, dpmSolverPlusPlus } from "./dpmSolverPlusPlus.ts";
export { euler } from "./euler.ts";
export { eulerAncestral } from "./eulerAncestral.ts";
export { type EulerMaruyamaOptions, eulerMaruyama } from "./eulerMaruyama.ts";
export { heun } from "./heun.ts";
export { type LmsOptions, lms } from "./lms.ts";
export { type PndmOptions, pndm } from "./pndm.ts";
export { reverseDiffusion } from "./reverseDiffusion.ts";
export { rungeKutta } from "./rungeKutta.ts";
export { type UniPcOptions, uniPc } from "./uniPc.ts";
