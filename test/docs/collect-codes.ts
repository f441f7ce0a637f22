/** Collects the stable codes that the sources give as reasons of failures, tasks and records. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** Each code with the files that give it: `reason: 'x'`, and `x` where a function of the same file names its parameter `reason`. */
export function collectCodes(folder: string): Map<string, Set<string>> {
  const codes = new Map<string, Set<string>>();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const source = ts.createSourceFile(name, readFileSync(join(folder, name), 'utf8'), ts.ScriptTarget.Latest, true);
    const positions = reasonPositions(source);
    visit(source, (node) => {
      for (const code of codesAt(node, positions)) codes.set(code, (codes.get(code) ?? new Set()).add(name));
    });
  }
  return codes;
}

/** Functions and methods of a file by name, with the position of the parameter `reason`. */
function reasonPositions(source: ts.SourceFile): Map<string, number> {
  const positions = new Map<string, number>();
  visit(source, (node) => {
    if (!ts.isFunctionDeclaration(node) && !ts.isMethodDeclaration(node)) return;
    const at = node.parameters.findIndex(({ name }) => ts.isIdentifier(name) && name.text === 'reason');
    if (at !== -1 && node.name !== undefined) positions.set(node.name.getText(), at);
  });
  return positions;
}

function codesAt(node: ts.Node, positions: ReadonlyMap<string, number>): string[] {
  if (ts.isPropertyAssignment(node) && node.name.getText() === 'reason') return literals(node.initializer);
  if (!ts.isCallExpression(node)) return [];
  const called = ts.isPropertyAccessExpression(node.expression)
    ? node.expression.name.getText()
    : node.expression.getText();
  const at = positions.get(called);
  const argument = at === undefined ? undefined : node.arguments[at];
  return argument === undefined ? [] : literals(argument);
}

/** A literal, or both ends of a choice between literals. */
function literals(node: ts.Expression): string[] {
  if (ts.isStringLiteral(node)) return /^[a-z][a-z0-9_]*$/.test(node.text) ? [node.text] : [];
  if (ts.isConditionalExpression(node)) return [...literals(node.whenTrue), ...literals(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return literals(node.expression);
  if (ts.isBinaryExpression(node)) return [...literals(node.left), ...literals(node.right)];
  return [];
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => {
    visit(child, see);
  });
}
