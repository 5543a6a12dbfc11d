// Compiles trees: each path is marked as required or optional, each helper is called by a name that no source can write.
(function (root) {
  'use strict';
  const Handlebars = root.Handlebars;
  const {MARKS, Problem} = root.$parts;
  const hasOwn = Object.prototype.hasOwnProperty;
  const GUARDS = ['if', 'unless', 'section', 'default', 'and', 'or', 'not', 'eq', 'ne', 'lt', 'gt'];
  const SCOPES = ['each', 'with'];

  function marked(ast, late) {
    const state = {late, stacked: false};
    program(ast, false, state);
    return state;
  }

  function program(node, stacked, state) {
    if (!node) return;
    for (const statement of node.body) {
      if (statement.type === 'MustacheStatement') {
        statement.escaped = true; // unescaped output was refused where it matters; one function writes all output
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
      const line = node.loc.start.line;
      Object.assign(node.parts, {guarded, line, stacked: seen, prefix: /^\w*$/.test(prefix) ? '' : prefix});
    }
  }

  function named(name, path) {
    const inner = MARKS.OPEN + name;
    return {type: 'PathExpression', data: false, depth: 0, parts: [inner], original: inner, loc: path.loc};
  }

  // ---- replacements for lookups in the code that handlebars.js generates ----

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

  Object.assign(root.$parts, {marked});
})(globalThis);
