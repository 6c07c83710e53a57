// What an experiment is: a question, and findings that a report shows. No experiment knows how it is shown.

import type { Backend, RandomStream } from "@pkg/tensor";
import type { TopLevelSpec } from "vega-lite";

export interface Experiment {
  /** One word or two, for `--only`. */
  readonly name: string;
  readonly title: string;
  /** What the documents say, and where. */
  readonly claim: string;
  run(lab: Laboratory): Promise<Findings>;
}

/** What an experiment works with. */
export interface Laboratory {
  readonly backend: Backend;
  /** A stream of the experiment's own. */
  readonly rng: RandomStream;
}

export interface Findings {
  /** Paragraphs with the numbers that were found. */
  readonly text: readonly string[];
  readonly tables?: readonly Table[];
  readonly charts?: readonly TopLevelSpec[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}
