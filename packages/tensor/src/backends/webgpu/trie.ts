// A map from sequences of keys to values, for lookups that would otherwise build a string of the keys each time.

/** One place in the trie: what is stored for the keys up to here, and what comes after. */
export class Trie<Value> {
  private readonly children = new Map<unknown, Trie<Value>>();
  value: Value | undefined;

  /** The place one key further, made when it is not there. */
  at(key: unknown): Trie<Value> {
    let child = this.children.get(key);
    if (!child) {
      child = new Trie();
      this.children.set(key, child);
    }
    return child;
  }

  /** Forgets all that comes after. */
  clear(): void {
    this.children.clear();
  }
}
