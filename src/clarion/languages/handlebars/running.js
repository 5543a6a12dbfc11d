// Runs templates: one function for all output, helpers that count their work, and the functions called from outside. One
// request at a time; except for loaded templates and learned values, nothing of it remains for the next one.
(function (root) {
  'use strict';
  const Handlebars = root.Handlebars;
  const {MARKS, Problem, parse, marked} = root.$parts;
  const run = {};
  const templates = new Map();
  const formatted = new Map();

  function fail(text, loc) { throw new Problem(text, loc && loc.start.line); }

  // ---- output ----

  const ENTITIES = {
    '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;', '`': '&#x60;', '=': '&#x3D;',
  };

  function text(item) {
    if (typeof item === 'string') return item;
    if (item === null || item === undefined) return '';
    if (Array.isArray(item)) {
      spend(item.length);
      return item.map(text).join(',');
    }
    if (typeof item === 'object') throw new Problem('a map cannot be printed; name one of its fields');
    return String(item);
  }

  Handlebars.Utils.escapeExpression = function (item) {
    const plain = text(item);
    grow(plain.length);
    return run.html && /[&<>"'`=]/.test(plain) ? plain.replace(/[&<>"'`=]/g, (sign) => ENTITIES[sign]) : plain;
  };

  function grow(chars) {
    run.chars += chars;
    if (run.chars > run.most.chars) throw new Problem('output limit reached');
  }

  // The runtime checks its clock only between steps, and a single step may take long.
  function spend(chars) {
    run.work += chars;
    if (run.work > run.most.work) throw new Problem('the template takes too much time');
  }

  function spent(item) {
    const plain = text(item);
    spend(plain.length);
    return plain;
  }

  // ---- helpers ----

  function empty(item) {
    return !item || (Array.isArray(item) && item.length === 0);
  }

  function same(left, right) {
    if (typeof left === 'string') spend(left.length);
    return left === right;
  }

  function compare(left, right, options) {
    if (left === undefined || left === null || right === undefined || right === null) return NaN;
    if (typeof left !== typeof right || !['number', 'string'].includes(typeof left)) {
      fail('numbers or texts are compared with their like', options.loc);
    }
    if (typeof left === 'string') spend(left.length);
    return left < right ? -1 : left > right ? 1 : 0;
  }

  function keysOf(item) {
    const keys = Object.keys(item);
    spend(keys.length);
    return keys;
  }

  function loop(items, keys, options) {
    const count = keys ? keys.length : items.length;
    const frame = Handlebars.createFrame(options.data);
    const parts = [];
    let chars = 0;
    run.loops += count;
    if (run.loops > run.most.loops) fail('loop limit reached', options.loc);
    for (let i = 0; i < count; i++) {
      const key = keys ? keys[i] : i;
      frame.key = key;
      frame.index = i;
      frame.first = i === 0;
      frame.last = i === count - 1;
      const part = options.fn(items[key], {data: frame, blockParams: [items[key], key]});
      chars += part.length;
      if (chars > run.most.chars) fail('output limit reached', options.loc);
      parts.push(part);
    }
    return parts.join('');
  }

  const helpers = {
    if(item, options) { return empty(item) ? options.inverse(this) : options.fn(this); },
    unless(item, options) { return empty(item) ? options.fn(this) : options.inverse(this); },
    with(item, options) {
      return empty(item) ? options.inverse(this) : options.fn(item, {data: options.data, blockParams: [item]});
    },
    each(items, options) {
      if (items !== null && items !== undefined && typeof items !== 'object') {
        fail('each: neither a list nor a map', options.loc);
      }
      const keys = empty(items) || Array.isArray(items) ? null : keysOf(items);
      return empty(items) || (keys && !keys.length) ? options.inverse(this) : loop(items, keys, options);
    },
    section(item, options) {
      if (empty(item)) return options.inverse(this);
      if (Array.isArray(item)) return loop(item, null, options);
      return options.fn(item === true ? this : item);
    },
    lookup(holder, key) { return root.$own(holder, key); },
    found(holder, key, options) {
      return root.$need(holder, key, "lookup: '" + text(key) + "'", options.loc.start.line);
    },
    default(item, other) {
      return item === undefined || item === null || item === false || item === '' ? other : item;
    },
    eq(left, right) { return same(left, right); },
    ne(left, right) { return !same(left, right); },
    lt(left, right, options) { return compare(left, right, options) < 0; },
    gt(left, right, options) { return compare(left, right, options) > 0; },
    and(...items) { return items.slice(0, -1).every((item) => !empty(item)); },
    or(...items) { return items.slice(0, -1).some((item) => !empty(item)); },
    not(item) { return empty(item); },
    size(item) {
      if (item === null || item === undefined) return 0;
      if (Array.isArray(item)) return item.length;
      return typeof item === 'object' ? keysOf(item).length : text(item).length;
    },
    upcase(item) { return item === undefined ? item : spent(item).toUpperCase(); },
    downcase(item) { return item === undefined ? item : spent(item).toLowerCase(); },
    // Formatted outside, after the render: writes a mark.
    later(name, ...rest) {
      const options = rest.pop();
      return MARKS.OPEN + (run.later.push(asked(name, rest, options.loc)) - 1) + MARKS.CLOSE;
    },
    // Formatted outside, and needed to continue: already learned, or requested and rendered again.
    now(name, ...rest) {
      const options = rest.pop();
      if (rest[0] === undefined) return undefined;
      const key = asked(name, rest, null);
      const known = formatted.get(run.scope + key);
      if (known !== undefined) return known;
      run.wanted.set(key, asked(name, rest, options.loc));
      return '';
    },
  };

  function asked(name, rest, loc) {
    const call = JSON.stringify([name, loc ? loc.start.line : 0, rest]);
    spend(call.length);
    return call;
  }

  Handlebars.helpers = Object.create(null);
  const knownHelpers = Object.create(null);
  for (const name of Object.keys(helpers)) {
    Handlebars.registerHelper(MARKS.OPEN + name, helpers[name]);
    knownHelpers[MARKS.OPEN + name] = true;
  }

  // ---- functions called from outside: texts in, text out ----

  function told(work) {
    try {
      return work().slice(0); // a flat string: one concatenated from many cannot leave the engine
    } catch (error) {
      if (error instanceof Problem) return MARKS.PROBLEM + JSON.stringify(error);
      throw error;
    }
  }

  root.$parse = (source, most) => told(() => JSON.stringify(parse(source, most)));

  root.$compile = (source, most, late) => told(() => {
    const ast = parse(source, most, true);
    const {stacked} = marked(ast, JSON.parse(late));
    return Handlebars.precompile(ast, {knownHelpers, knownHelpersOnly: true, compat: stacked});
  });

  root.$load = function (id, code) { templates.set(id, Handlebars.template((0, eval)('(' + code + ')'))); };

  root.$drop = function (id) { templates.delete(id); };

  root.$learn = function (scope, answers, most) {
    const news = JSON.parse(answers);
    if (formatted.size + news.length > most) formatted.clear();
    for (const [key, answer] of news) formatted.set(scope + key, answer);
  };

  // `scope` is the recipient's locale, zone and time: values formatted for another scope are not used.
  root.$render = (id, html, context, scope, chars, loops, work) => told(() => {
    Object.assign(run, {html, scope, most: {chars, loops, work}});
    Object.assign(run, {chars: 0, loops: 0, work: 0, later: [], wanted: new Map()});
    const output = templates.get(id)(JSON.parse(context));
    if (!run.later.length && !run.wanted.size) return output;
    const wanted = [...run.wanted].map(([key, call]) => '[' + JSON.stringify(key) + ',' + call + ']');
    return output + MARKS.CALLS + '[[' + wanted.join(',') + '],[' + run.later.join(',') + ']]';
  });
})(globalThis);
