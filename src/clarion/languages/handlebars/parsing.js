// Parses sources: handlebars.js's own lexer and parser, made faster, and with limits.
(function (root) {
  'use strict';
  const Handlebars = root.Handlebars;
  // Clarion's own marks in names and output. They are noncharacters: sources that hold one are refused, in data they are replaced.
  const MARKS = {OPEN: '\ufdd0', CLOSE: '\ufdd1', PROBLEM: '\ufdd2', CALLS: '\ufdd3'};

  // An error of a template or of its data.
  class Problem {
    constructor(text, line, column) { Object.assign(this, {text, line: line || 0, column: column || 0}); }
  }

  // Anchored rules that do not match are tried again at every character of the rest, unless they are sticky.
  const lexer = Handlebars.Parser.lexer;
  lexer.rules = lexer.rules.map(function (rule) {
    const sticky = new RegExp(rule.source, 'y');
    return {[Symbol.match](text) { sticky.lastIndex = 0; return sticky.exec(text); }};
  });

  // The parser copies all open blocks at each step, and walks of its tree recurse into them: both are limited here.
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
    if (depth.blocks[depth.blocks.length - 1] > depth.most.branches) {
      tooMuch(depth.most.branches + ' branches of one condition');
    }
    if (depth.expressions > depth.most.levels) tooMuch(depth.most.levels + ' expressions in one another');
    return token;
  };

  function tooMuch(what) {
    throw new Problem('more than ' + what, lexer.yylloc.first_line, lexer.yylloc.first_column + 1);
  }

  Handlebars.Parser.parseError = function (text, hash) {
    const at = lexer.yylloc || {};
    if (hash.token === null) throw new Problem('unexpected text', at.last_line, at.last_column + 1);
    const what = hash.token === 'EOF' ? 'unexpected end' : 'unexpected ' + JSON.stringify(hash.text);
    throw new Problem(what, at.first_line, at.first_column + 1);
  };

  let parsed = {};

  // The tree of a source that is compiled right after being parsed is reused; compiling changes it, so it is then dropped.
  function parse(source, most, last) {
    Object.assign(depth, {most: JSON.parse(most), tokens: 0, blocks: [], expressions: 0});
    try {
      if (parsed.source !== source) parsed = {source, ast: Handlebars.parse(source)};
      const ast = parsed.ast;
      if (last) parsed = {};
      return ast;
    } catch (error) {
      if (error instanceof Handlebars.Exception) {
        throw new Problem(error.message.replace(/ - \d+:\d+$/, ''), error.lineNumber, error.column + 1);
      }
      throw error;
    }
  }

  root.$parts = {MARKS, Problem, parse};
})(globalThis);
