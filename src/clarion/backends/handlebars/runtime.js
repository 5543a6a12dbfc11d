// What stands between templates and handlebars.js: a faster lexer, lookups that see own properties only and know what may
// be missing, and helpers that count what they do. One request at a time; nothing of it is left for the next one.
(function (root) {
  'use strict';
  const Handlebars = root.Handlebars;
  const hasOwn = Object.prototype.hasOwnProperty;
  // Marks of our own in names and output. They are noncharacters, taken out of all sources and data on their way in.
  const OPEN = '\ufdd0', CLOSE = '\ufdd1', PROBLEM = '\ufdd2', CALLS = '\ufdd3';
  const GUARDS = ['if', 'unless', 'section', 'default', 'and', 'or', 'not', 'eq', 'ne', 'lt', 'gt'];
  const SCOPES = ['each', 'with'];

  class Problem {
    constructor(text, line, column) { Object.assign(this, {text, line: line || 0, column: column || 0}); }
  }

  function fail(text, loc) { throw new Problem(text, loc && loc.start.line); }

  // ---- parsing --------------------------------------------------------------------------------------------------------

  // Anchored rules that do not match are tried again at every character of the rest, unless they are sticky.
  const lexer = Handlebars.Parser.lexer;
  lexer.rules = lexer.rules.map(function (rule) {
    const sticky = new RegExp(rule.source, 'y');
    return {[Symbol.match](text) { sticky.lastIndex = 0; return sticky.exec(text); }};
  });

  // The parser copies all open blocks at each step, and who walks its tree descends into them: both are counted here.
  const SIGNS = Handlebars.Parser.symbols_;
  const depth = {};

  lexer.lex = function () {
    let token;
    do { token = this.next(); } while (token === undefined);
    depth.tokens += 1;
    if (token === SIGNS.OPEN_BLOCK || token === SIGNS.OPEN_INVERSE) depth.blocks.push(0);
    else if (token === SIGNS.OPEN_INVERSE_CHAIN && depth.blocks.length) depth.blocks[depth.blocks.length - 1] += 1;
    else if (token === SIGNS.OPEN_ENDBLOCK) depth.blocks.pop();
    else if (token === SIGNS.OPEN_SEXPR) depth.expressions += 1;
    else if (token === SIGNS.CLOSE_SEXPR) depth.expressions -= 1;
    else return depth.tokens > depth.most.tokens ? tooMuch(depth.most.tokens + ' names, signs and texts') : token;
    if (depth.blocks.length > depth.most.levels) tooMuch(depth.most.levels + ' blocks in one another');
    if (depth.blocks[depth.blocks.length - 1] > depth.most.branches) tooMuch(depth.most.branches + ' branches of one condition');
    if (depth.expressions > depth.most.levels) tooMuch(depth.most.levels + ' expressions in one another');
    return token;
  };

  function tooMuch(what) {
    throw new Problem('more than ' + what, lexer.yylloc.first_line, lexer.yylloc.first_column + 1);
  }

  Handlebars.Parser.parseError = function (text, hash) {
    const at = lexer.yylloc || {};
    const lexical = hash.token === null;
    const what = lexical ? 'unexpected text' : hash.token === 'EOF' || hash.token === 5 ? 'unexpected end' : 'unexpected ' + JSON.stringify(hash.text);
    throw new Problem(what, lexical ? at.last_line : at.first_line, (lexical ? at.last_column : at.first_column) + 1);
  };

  let parsed = {};

  function parse(source, most) {
    Object.assign(depth, {most: JSON.parse(most), tokens: 0, blocks: [], expressions: 0});
    try {
      if (parsed.source !== source) parsed = {source, ast: Handlebars.parse(source)};
      return parsed.ast;
    } catch (error) {
      if (error instanceof Handlebars.Exception) {
        throw new Problem(error.message.replace(/ - \d+:\d+$/, ''), error.lineNumber, error.column + 1);
      }
      throw error;
    }
  }

  // ---- marking: each path learns whether it may be missing, each helper is called by a name no template can write --------

  function marked(ast, late) {
    const state = {late, stacked: false};
    program(ast, false, state);
    return state;
  }

  function program(node, stacked, state) {
    if (!node) return;
    for (const statement of node.body) {
      if (statement.type === 'MustacheStatement') {
        statement.escaped = true; // unescaped output has been refused where it matters; there is one way out for all
        call(statement, stacked, false, state, true);
      } else if (statement.type === 'BlockStatement') {
        block(statement, stacked, state);
      }
    }
  }

  function block(node, stacked, state) {
    let name = node.path.original;
    if (!node.params.length) {
      node.params = [node.path];
      node.path = named('section', node.path);
      name = 'section';
      state.stacked = true;
    } else {
      node.path = named(name, node.path);
    }
    const guarded = GUARDS.includes(name) || Boolean(node.inverse);
    for (const param of node.params) value(param, stacked, guarded, state);
    program(node.program, name === 'section' || (stacked && !SCOPES.includes(name)), state);
    program(node.inverse, stacked, state);
  }

  function call(node, stacked, guarded, state, output) {
    const name = node.path.original;
    if (!node.params.length) {
      value(node.path, stacked, guarded, state);
      return;
    }
    const inner = name !== 'plural' && (guarded || GUARDS.includes(name));
    for (const param of node.params) value(param, stacked, inner, state);
    if (state.late.includes(name)) {
      node.params.unshift({type: 'StringLiteral', value: name, original: name, loc: node.loc});
      node.path = named(output ? 'later' : 'now', node.path);
    } else {
      node.path = named(name === 'lookup' && !guarded ? 'found' : name, node.path);
    }
  }

  function value(node, stacked, guarded, state) {
    if (node.type === 'SubExpression') {
      call(node, stacked, guarded, state, false);
    } else if (node.type === 'PathExpression') {
      const seen = stacked && !node.data && !node.depth && !Handlebars.AST.helpers.scopedId(node);
      const prefix = node.original.slice(0, node.original.length - node.parts.join('.').length);
      Object.assign(node.parts, {guarded, stacked: seen, prefix: /^\w*$/.test(prefix) ? '' : prefix, line: node.loc.start.line});
    }
  }

  function named(name, path) {
    return {type: 'PathExpression', data: false, depth: 0, parts: [OPEN + name], original: OPEN + name, loc: path.loc};
  }

  // ---- generated code ---------------------------------------------------------------------------------------------------

  const generator = Handlebars.JavaScriptCompiler.prototype;

  generator.resolvePath = function (kind, parts, start) {
    for (let i = start; i < parts.length; i++) {
      this.replaceStack((current) => [', ', lookupCode(current, parts, i)]); // comes after `(current`
    }
  };

  generator.lookupOnContext = function (parts, falsy, strict, scoped) {
    let start = 0;
    if (parts.stacked && parts.length && !scoped) {
      this.push(lookupCode('$holder(depths, ' + JSON.stringify(parts[0]) + ')', parts, start++));
    } else {
      this.pushContext();
    }
    this.resolvePath('context', parts, start);
  };

  function lookupCode(current, parts, i) {
    const key = JSON.stringify(parts[i]);
    if (parts.guarded) return ['$own(', current, ', ', key, ')'];
    const path = parts.prefix + parts.slice(0, i + 1).join('.');
    const shown = JSON.stringify(path === parts[0] ? "'" + path + "'" : path);
    return ['$need(', current, ', ', key, ', ', shown, ', ', String(parts.line || 0), ')'];
  }

  root.$own = function (holder, key) {
    return holder !== null && holder !== undefined && hasOwn.call(holder, key) ? holder[key] : undefined;
  };

  root.$need = function (holder, key, shown, line) {
    if (holder !== null && holder !== undefined && hasOwn.call(holder, key)) return holder[key];
    throw new Problem(shown + ' is undefined', line);
  };

  root.$holder = function (depths, key) {
    for (const depth of depths) {
      if (depth !== null && typeof depth === 'object' && hasOwn.call(depth, key)) return depth;
    }
    return undefined;
  };

  // ---- output -------------------------------------------------------------------------------------------------------------

  const ENTITIES = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;', '`': '&#x60;', '=': '&#x3D;'};
  const run = {};

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

  // The engine looks at its clock between steps, however long one of them takes.
  function spend(chars) {
    run.work += chars;
    if (run.work > run.most.work) throw new Problem('the template takes too much time');
  }

  function spent(item) {
    const plain = text(item);
    spend(plain.length);
    return plain;
  }

  // ---- helpers --------------------------------------------------------------------------------------------------------------

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
      if (items !== null && items !== undefined && typeof items !== 'object') fail('each: neither a list nor a map', options.loc);
      const keys = empty(items) || Array.isArray(items) ? null : keysOf(items);
      return empty(items) || (keys && !keys.length) ? options.inverse(this) : loop(items, keys, options);
    },
    section(item, options) {
      if (empty(item)) return options.inverse(this);
      if (Array.isArray(item)) return loop(item, null, options);
      return options.fn(item === true ? this : item);
    },
    lookup(holder, key) { return root.$own(holder, key); },
    found(holder, key, options) { return root.$need(holder, key, "lookup: '" + text(key) + "'", options.loc.start.line); },
    default(item, other) { return item === undefined || item === null || item === false || item === '' ? other : item; },
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
    // Formatted outside, after the render: leaves a mark.
    later(name, ...rest) {
      const options = rest.pop();
      return OPEN + (run.later.push(asked(name, rest, options.loc)) - 1) + CLOSE;
    },
    // Formatted outside, and needed to go on: known from before, or asked for and rendered again.
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
    Handlebars.registerHelper(OPEN + name, helpers[name]);
    knownHelpers[OPEN + name] = true;
  }

  // ---- what is called from outside: texts in, text out ------------------------------------------------------------------------

  function told(work) {
    try {
      return work().slice(0); // one piece: what was joined of many cannot leave the engine
    } catch (error) {
      if (error instanceof Problem) return PROBLEM + JSON.stringify(error);
      throw error;
    }
  }

  const templates = new Map();

  root.$parse = (source, most) => told(() => JSON.stringify(parse(source, most)));

  root.$compile = (source, most, late) => told(() => {
    const ast = parse(source, most);
    parsed = {};
    const {stacked} = marked(ast, JSON.parse(late));
    return Handlebars.precompile(ast, {knownHelpers, knownHelpersOnly: true, compat: stacked});
  });

  root.$load = function (id, code) { templates.set(id, Handlebars.template((0, eval)('(' + code + ')'))); };

  root.$drop = function (id) { templates.delete(id); };

  const formatted = new Map();

  root.$learn = function (scope, answers, most) {
    const news = JSON.parse(answers);
    if (formatted.size + news.length > most) formatted.clear();
    for (const [key, answer] of news) formatted.set(scope + key, answer);
  };

  // `scope` is whom the text speaks to: what was formatted for others is not known here.
  root.$render = (id, html, context, scope, chars, loops, work) => told(() => {
    Object.assign(run, {html, scope, chars: 0, loops: 0, work: 0, later: [], wanted: new Map(), most: {chars, loops, work}});
    const output = templates.get(id)(JSON.parse(context));
    if (!run.later.length && !run.wanted.size) return output;
    const wanted = [...run.wanted].map(([key, call]) => '[' + JSON.stringify(key) + ',' + call + ']');
    return output + CALLS + '[[' + wanted.join(',') + '],[' + run.later.join(',') + ']]';
  });
})(globalThis);
