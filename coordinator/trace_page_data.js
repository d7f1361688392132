// ---- The trace: records of trace.proto, each behind its length -------------------------------------------------

// A list of numbers that grows.
class Numbers {
  constructor(Type) { this.items = new Type(1024); this.n = 0; }
  push(item) {
    if (this.n === this.items.length) {
      const grown = new this.items.constructor(2 * this.n);
      grown.set(this.items);
      this.items = grown;
    }
    this.items[this.n++] = item;
  }
}

class Message {
  constructor(data, at, end) { this.data = data; this.at = at; this.end = end; }
  get more() { return this.at < this.end; }
  varint() { // below 2^53, which all that is used here is
    for (let value = 0, scale = 1;; scale *= 128) {
      const byte = this.data[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  part() { // what stands behind its length
    const size = this.varint(), at = this.at;
    this.at += size;
    return new Message(this.data, at, at + size);
  }
  bytes() { return this.data.subarray(this.at, this.end); }
  text() { return new TextDecoder().decode(this.bytes()); }
  fields(take) { // take[number](value or part)
    while (this.more) {
      const key = this.varint(), number = key >> 3;
      let value;
      if ((key & 7) === 0) value = this.varint();
      else if ((key & 7) === 2) value = this.part();
      else this.at += (key & 7) === 1 ? 8 : 4;
      if (take[number] && value !== undefined) take[number](value);
    }
  }
}

// What differs between two sets given by their edges: the merge in which equal edges cancel.
function putDifference(edges, a, b) {
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (j === b.length || (i < a.length && a[i] < b[j])) edges.push(a[i++]);
    else if (i === a.length || b[j] < a[i]) edges.push(b[j++]);
    else { i++; j++; }
  }
}

class Trace {
  constructor(data) {
    Object.assign(this, { model: "", policy: "", budget: 0, options: [], layers: 1, heads: 1, every: 1 });
    this.ids = new Numbers(Int32Array);
    this.textEnds = new Numbers(Uint32Array);
    this.text = new Numbers(Uint8Array);
    this.cached = new Numbers(Int32Array);   // by step: tokens, the attending one included
    this.setEnds = new Numbers(Uint32Array); // by step, in edgeEnds
    this.edgeEnds = new Numbers(Uint32Array); // by set, in edges
    this.edges = new Numbers(Int32Array);
    this.setOf = new Numbers(Uint16Array); // by step and pair: its set, counted from the step's first
    const file = new Message(data, 0, data.length);
    this.takeHeader(file.part());
    this.prompt = this.ids.n;
    this.pairs = this.layers * this.heads;
    this.sparse = new Uint8Array(this.layers); // some head does not attend to everything in some step
    while (file.more) this.takeStep(file.part());
  }
  get steps() { return this.cached.n; }
  takeTokens(message) {
    const textBegin = this.text.n;
    let end = textBegin;
    message.fields({
      1: ids => { while (ids.more) this.ids.push(ids.varint()); },
      2: text => { for (const byte of text.bytes()) this.text.push(byte); },
      3: sizes => { while (sizes.more) this.textEnds.push(end += sizes.varint()); },
    });
  }
  takeHeader(message) {
    message.fields({
      4: text => { this.model = text.text(); },
      6: text => { this.policy = text.text(); },
      7: number => { this.budget = number; },
      8: option => {
        const pair = ["", ""];
        option.fields({ 1: name => { pair[0] = name.text(); }, 2: value => { pair[1] = value.text(); } });
        this.options.push(pair);
      },
      9: number => { this.layers = number; },
      10: number => { this.heads = number; },
      11: number => { this.every = number; },
      12: tokens => this.takeTokens(tokens),
    });
  }
  takeStep(message) {
    const sets = [], firstPair = [];
    message.fields({
      1: tokens => this.takeTokens(tokens),
      2: set => sets.push(set),
      3: setOf => {
        for (let pair = 0; setOf.more;) {
          const n = setOf.varint(), index = setOf.varint();
          if (firstPair[index] === undefined) firstPair[index] = pair;
          for (let i = 0; i < n; i++, pair++) this.setOf.push(index);
        }
      },
    });
    const step = this.steps;
    sets.forEach((set, index) => this.takeSet(set, step, firstPair[index]));
    this.cached.push(this.ids.n);
    this.setEnds.push(this.edgeEnds.n);
    this.noteSparse(step);
  }
  takeSet(message, step, firstPair) {
    let change = 0;
    const gaps = [];
    let edge = 0;
    message.fields({
      1: value => { change = value; },
      2: list => { while (list.more) gaps.push(edge += list.varint()); },
    });
    const before = change && step > 0 ? this.set(step - 1, this.setOf.items[(step - 1) * this.pairs + firstPair])
                                      : [];
    putDifference(this.edges, gaps, before);
    this.edgeEnds.push(this.edges.n);
  }
  noteSparse(step) {
    const cached = this.cached.items[step];
    for (let pair = 0; pair < this.pairs; pair++) {
      const set = this.set(step, this.setOf.items[step * this.pairs + pair]);
      if (!(set.length === 2 && set[0] === 0 && set[1] === cached))
        this.sparse[Math.floor(pair / this.heads)] = 1;
    }
  }
  firstSet(step) { return step > 0 ? this.setEnds.items[step - 1] : 0; }
  set(step, index) { // edges
    const at = this.firstSet(step) + index;
    return this.edges.items.subarray(at > 0 ? this.edgeEnds.items[at - 1] : 0, this.edgeEnds.items[at]);
  }
  // [[edges, how many of the chosen heads have this set], …] of a step
  weighted(step, chosen) {
    const weights = new Float64Array(this.setEnds.items[step] - this.firstSet(step));
    for (let pair = 0; pair < this.pairs; pair++) weights[this.setOf.items[step * this.pairs + pair]] += chosen[pair];
    const found = [];
    weights.forEach((weight, index) => { if (weight > 0) found.push([this.set(step, index), weight]); });
    return found;
  }
  textBytes(token) {
    return this.text.items.subarray(token > 0 ? this.textEnds.items[token - 1] : 0, this.textEnds.items[token]);
  }
}

function decodeBase64(text) {
  const binary = atob(text), data = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) data[i] = binary.charCodeAt(i);
  return data;
}

const trace = new Trace(decodeBase64($("trace").textContent));
