// Statements of random programs: what a captured step may do, with numbers, tensors and branches that change from step to step.
import { adamW, freeze, unfreeze } from "@pkg/nn";
import {
  adamWStep,
  type Backend,
  type Captured,
  capture,
  checkpoint,
  concat,
  emaStep,
  grad,
  jvp,
  keep,
  type NumberArray,
  ones,
  type RandomStream,
  randomStream,
  region,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
  zeros,
} from "@pkg/tensor";

/** What the statements of one program work on. */
export interface World {
  readonly backend: Backend;
  /** The number of the step. */
  k: number;
  /** Tensors that live longer than a step. */
  readonly outer: Tensor[];
  readonly large: Tensor;
  readonly integers: Tensor;
  readonly stream: RandomStream;
  /** Those of the step, of shape [2, 3]. */
  pool: Tensor[];
  readonly kept: Tensor[];
  readonly reads: Promise<NumberArray>[];
  readonly inner: Captured<[Tensor], Tensor>;
  minimize(x: Tensor): Tensor;
  /** Freezes a parameter in some steps. */
  toggle(isFrozen: boolean): void;
  dispose(): void;
}

export type Statement = (world: World) => void;

const SHAPE = [2, 3];

export function openWorld(backend: Backend, seed: number): World {
  const stream = randomStream(seed);
  const some = () => tidy(() => stream.normal(SHAPE, { backend }));
  const module = { a: some(), b: some() };
  const optimizer = adamW(module, { lr: (step) => 0.1 / (1 + step) });
  const inner = capture((x: Tensor) => x.square().add(outer[0]));
  const outer = [some(), some(), some(), module.a];
  const world: World = {
    backend,
    k: 0,
    outer,
    large: tidy(() => stream.normal([24], { backend })),
    integers: tensor([0, 1, 1, 0], { backend, dtype: "int32" }),
    stream,
    pool: [],
    kept: [],
    reads: [],
    inner,
    minimize: (x) => optimizer.minimize(() => module.a.mul(x).add(module.b.square()).mean()),
    toggle: (isFrozen) => (isFrozen ? freeze({ b: module.b }) : unfreeze({ b: module.b })),
    dispose() {
      inner.dispose();
      for (const one of [...outer, module.b, world.large, world.integers, ...world.kept, ...optimizer.state().values()])
        one.dispose();
    },
  };
  return world;
}

/** Any integer below n. */
type Choose = (n: number) => number;

/** A number for each step: one for all, or one that changes always, in some steps, or in one. */
function varying(choose: Choose): (k: number) => number {
  const [kind, a, b, period] = [choose(5), choose(7) / 4, choose(5) / 2 - 1, 2 + choose(3)];
  if (kind === 0) return (k) => a + k / 8;
  if (kind === 1) return (k) => (k % period === 0 ? a : b);
  if (kind === 2) return (k) => (k === period + 2 ? a : b);
  return () => a;
}

const scalar = (x: Tensor) => x.tanh().sum();

/** Statements by name. Each takes its choices first, so that a program does the same in every world. */
export const STATEMENTS: Readonly<Record<string, (choose: Choose, nested: (n: number) => Statement[]) => Statement>> = {
  unary(choose) {
    const [at, which] = [choose(9), choose(5)];
    return (w) => {
      const x = pick(w, at);
      w.pool.push([() => x.sin(), () => x.tanh(), () => x.square().neg(), () => x.relu(), () => x.sigmoid()][which]());
    };
  },
  number(choose) {
    const [at, which, value] = [choose(9), choose(4), varying(choose)];
    return (w) => {
      const [x, c] = [pick(w, at), value(w.k)];
      w.pool.push([() => x.mul(c), () => x.add(c), () => x.clamp(-1 - c ** 2, 2), () => x.affine(c, 0.5)][which]());
    };
  },
  binary(choose) {
    const [a, b, which] = [choose(9), choose(9), choose(4)];
    return (w) => {
      const [x, y] = [pick(w, a), pick(w, b)];
      w.pool.push([() => x.add(y), () => x.sub(y), () => x.mul(y).tanh(), () => x.maximum(y)][which]());
    };
  },
  views(choose) {
    const [at, which, value] = [choose(9), choose(6), varying(choose)];
    return (w) => {
      const x = pick(w, at);
      const row = Math.abs(Math.floor(value(w.k))) % 2;
      const views = [
        () => x.transpose().reshape(SHAPE),
        () => x.slice([row, row + 1]).expand(SHAPE),
        () => x.reshape([3, 2]).transpose(),
        () => x.flip(0),
        () => x.reshape([1, 2, 3]).squeeze(0),
        () => x.detach(),
      ];
      w.pool.push(views[which]());
    };
  },
  part(choose) {
    const [value, isDirect] = [varying(choose), choose(2) === 0];
    return (w) => {
      const start = Math.abs(Math.floor(4 * value(w.k))) % 18;
      const part = w.large.slice([start, start + 6]).reshape(SHAPE);
      w.pool.push(isDirect ? part : part.add(w.k % 2));
    };
  },
  contraction(choose) {
    const [a, b] = [choose(9), choose(9)];
    return (w) => w.pool.push(pick(w, a).matmul(pick(w, b).transpose()).matmul(pick(w, a)).tanh());
  },
  reduction(choose) {
    const [at, axis, which] = [choose(9), choose(2), choose(3)];
    return (w) => {
      const x = pick(w, at);
      const options = { keepAxes: true };
      w.pool.push(
        [() => x.sum(axis, options), () => x.mean(axis, options), () => x.max(axis, options)][which]().expand(SHAPE),
      );
    };
  },
  rows(choose) {
    const [at, which] = [choose(9), choose(3)];
    return (w) => {
      const x = pick(w, at);
      if (which === 0) w.pool.push(x.gather(w.integers).slice([1, 3]));
      else if (which === 1) w.pool.push(x.softmax(which - 1));
      else w.pool.push(concat([x, pick(w, at + 1)], 0).slice([w.k % 3, (w.k % 3) + 2]));
    };
  },
  types(choose) {
    const [a, b] = [choose(9), choose(9)];
    return (w) => {
      const isLess = pick(w, a).less(pick(w, b));
      w.pool.push(isLess.where(pick(w, a), 0.5).add(isLess.cast("float32")));
    };
  },
  nothing(choose) {
    const at = choose(9);
    return (w) => {
      const empty = pick(w, at).slice([1, 1]);
      w.pool.push(concat([empty.mul(2), pick(w, at)], 0).add(zeros([0, 3], { backend: w.backend }).sum()));
    };
  },
  upload(choose) {
    const value = varying(choose);
    return (w) => w.pool.push(tensor([value(w.k), 1, w.k % 3], { backend: w.backend }).expand(SHAPE));
  },
  draw(choose) {
    const [isOnHost, value] = [choose(2) === 0, varying(choose)];
    return (w) => {
      if (isOnHost) w.pool.push(pick(w, 1).mul(w.stream.host.normal([1])[0]));
      else w.pool.push(w.stream.normal(SHAPE, { backend: w.backend, std: 1 + Math.abs(value(w.k)) }));
    };
  },
  assign(choose) {
    const [to, from, which, period] = [choose(4), choose(9), choose(4), 1 + choose(3)];
    return (w) => {
      if (w.k % period !== 0) return;
      const value = pick(w, from);
      if (which === 0) outerOf(w, to).assign(value.mul(0.5).add(outerOf(w, to)).tanh());
      else if (which === 1) outerOf(w, to).assign(value.detach());
      else if (which === 2) outerOf(w, to).assign(w.large.slice([w.k, w.k + 6]).reshape(SHAPE));
      else outerOf(w, to).assign(value.transpose().reshape(SHAPE));
    };
  },
  swap(choose) {
    const [a, b] = [choose(3), choose(3)];
    return (w) => {
      const before = outerOf(w, a).detach();
      outerOf(w, a).assign(outerOf(w, b).detach());
      outerOf(w, b).assign(before);
    };
  },
  average(choose) {
    const [to, from, value, isShared] = [choose(4), choose(9), varying(choose), choose(4)];
    return (w) => {
      const [x, average] = [pick(w, from).tanh(), outerOf(w, to)];
      const shared = isShared === 0 || (isShared === 1 && w.k % 2 === 1) ? average.detach() : null;
      average.assign(emaStep(average, x, { weight: Math.abs(value(w.k)) / 8 }));
      if (shared) w.pool.push(shared);
    };
  },
  adam(choose) {
    const [to, from, value] = [choose(3), choose(9), varying(choose)];
    return (w) => {
      const gradient = pick(w, from).tanh();
      const scale = ones([], { backend: w.backend });
      const [p, m, v] = [outerOf(w, to), zeros(SHAPE, { backend: w.backend }), ones(SHAPE, { backend: w.backend })];
      const attrs = {
        learningRate: Math.abs(value(w.k)) / 8,
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-3,
        weightDecay: 0,
        t: w.k + 1,
      };
      const [next, first] = adamWStep(p, gradient, m, v, scale, attrs);
      p.assign(next);
      w.pool.push(first);
    };
  },
  gradient(choose) {
    const [a, b, which, value, isCut] = [choose(4), choose(9), choose(4), varying(choose), choose(3)];
    return (w) => {
      const [x, y] = [outerOf(w, a), pick(w, b)];
      const f = (v: Tensor) => {
        const cut = isCut === 0 && w.k % 2 ? v.detach() : v;
        return scalar(cut.mul(v).mul(y).mul(value(w.k)));
      };
      if (which === 0) w.pool.push(...grad(f, [x]));
      else if (which === 1) w.pool.push(grad((v) => scalar(grad(f, [v])[0].mul(v)), [x])[0]);
      else if (which === 2) w.pool.push(jvp(f, [x], [y]).tangent.expand(SHAPE));
      else {
        const { value: loss, grads } = valueAndGrad((v, u) => f(v).add(scalar(w.k % 3 ? u : u.square())), [x, y]);
        w.pool.push(grads[1].add(loss), grads[0]);
      }
    };
  },
  checkpointed(choose) {
    const [a, b, value, isCut, isDrawing] = [choose(4), choose(9), varying(choose), choose(3), choose(3) === 0];
    return (w) => {
      const [x, y] = [outerOf(w, a), pick(w, b)];
      const f = checkpoint((v: Tensor) => {
        const cut = isCut === 0 && w.k % 2 ? v.detach() : v;
        const noise = isDrawing
          ? w.stream.normal(SHAPE, { backend: w.backend })
          : tensor(value(w.k), { backend: w.backend });
        return cut
          .mul(v)
          .mul(y)
          .add(noise)
          .tanh()
          .mul(value(w.k + 1));
      });
      w.pool.push(...grad((v, u) => scalar(f(f(v).add(u))), [x, y]));
    };
  },
  region(choose) {
    const [at, from, value, isAssigning] = [choose(4), choose(9), varying(choose), choose(3) === 0];
    const key = {};
    return (w) => {
      const [own, x, c] = [outerOf(w, at), pick(w, from), value(w.k)];
      const what = () => ({ key, same: [own], settings: c, inputs: [x] });
      const f = () => {
        const y = own.mul(x).add(c).tanh();
        if (isAssigning) own.assign(own.add(y).tanh());
        return { y: y.neg(), views: [own.reshape(SHAPE)] };
      };
      const { y, views } = region(w.backend, what, f);
      w.pool.push(y, ...views);
    };
  },
  inner(choose) {
    const at = choose(9);
    return (w) => w.pool.push(w.inner(pick(w, at)).tanh());
  },
  minimize(choose) {
    const [at, period] = [choose(9), 2 + choose(3)];
    return (w) => {
      w.toggle(w.k % period === 0);
      w.pool.push(w.minimize(pick(w, at)).expand(SHAPE));
    };
  },
  keep(choose) {
    const at = choose(9);
    return (w) => {
      w.kept.push(keep(pick(w, at).add(1)));
      w.pool.push(w.kept[w.kept.length >> 1].mul(0.5));
    };
  },
  dispose(choose) {
    const at = choose(9);
    return (w) => {
      const x = pick(w, at).mul(2);
      w.pool.push(x.add(1));
      x.dispose();
      if (w.k % 3 === 2) w.kept.shift()?.dispose();
    };
  },
  read(choose) {
    const [at, isOuter] = [choose(9), choose(2) === 0];
    return (w) => w.reads.push((isOuter ? outerOf(w, at) : pick(w, at)).data());
  },
  caught(choose) {
    const at = choose(9);
    return (w) => {
      try {
        pick(w, at)
          .transpose()
          .add(tensor([1, 2], { backend: w.backend }).matmul(pick(w, at)));
        pick(w, at).matmul(pick(w, at));
      } catch {
        w.pool.push(pick(w, at).add(3));
      }
    };
  },
  branch(choose, nested) {
    const [period, a, b] = [2 + choose(2), nested(2), nested(2)];
    return (w) => {
      for (const statement of w.k % period ? a : b) statement(w);
    };
  },
  tidied(choose, nested) {
    const [at, body] = [choose(3), nested(3)];
    return (w) => {
      const before = w.pool;
      w.pool = [...before];
      const result = tidy(() => {
        for (const statement of body) statement(w);
        return w.pool[Math.max(before.length, w.pool.length - 1 - at)] ?? pick(w, at).neg();
      });
      w.pool = [...before, result];
    };
  },
};

/** What fails, in steps of its own. */
export function failing(choose: Choose): Statement {
  const period = 2 + choose(3);
  return (w) => {
    if (w.k % period === 1) throw new Error("on purpose");
  };
}

/** Outer tensors and those of the step. */
function pick(w: World, at: number): Tensor {
  const all = [...w.pool.slice(-6), ...w.outer];
  return all[at % all.length];
}

function outerOf({ outer }: World, at: number): Tensor {
  return outer[at % outer.length];
}
