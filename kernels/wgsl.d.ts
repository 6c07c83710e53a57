/** The text of one kernel: valid WGSL as it stands. */
declare const source: string;
export default source;
