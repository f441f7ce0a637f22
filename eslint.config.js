/** What the linter holds beside the types: conventions.md as far as a program can tell. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';

const root = dirname(fileURLToPath(import.meta.url));

/** Read in one place each, so that a test can hold time still and the settings are all in one schema. */
const ENVIRONMENT = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: 'The environment is read in src/settings only; settings are handed in.',
};
const NOW = {
  selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
  message: 'Time comes through the Clock port (src/domain/clock.ts).',
};
const NEW_DATE = {
  selector: "NewExpression[callee.name='Date'][arguments.length=0]",
  message: 'Time comes through the Clock port (src/domain/clock.ts).',
};
const MONOTONIC = {
  selector: "CallExpression[callee.object.name='performance'][callee.property.name='now']",
  message: 'Time comes through the Clock port (src/domain/clock.ts).',
};
const DEFAULT_EXPORT = {
  selector: 'ExportDefaultDeclaration',
  message: 'An export has one name, the same everywhere.',
};
const BARREL = {
  selector: 'ExportAllDeclaration',
  message: 'Import from the file that has it.',
};

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'bench/results/', '.writ/', '.services/', '.cache/'] },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'scripts/**/*.ts', 'bench/**/*.ts', 'docs/examples/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Numbers in messages are meant.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // An empty function says "nothing to do here" as well as any other.
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // A row's type is the caller's claim about its SQL, made where the SQL is.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      // A name in brackets says that it comes from outside and may be missing.
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
      // Interfaces have no index signature, which canonical JSON asks for.
      '@typescript-eslint/consistent-type-definitions': 'off',
      // What was caught is thrown on as it is.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true, allowRethrowing: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Libraries type what they make as an interface of their own.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
      'no-control-regex': 'error',
      'no-restricted-syntax': ['error', ENVIRONMENT, NOW, NEW_DATE, MONOTONIC, DEFAULT_EXPORT, BARREL],
    },
  },
  {
    files: ['src/settings/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', NOW, NEW_DATE, DEFAULT_EXPORT, BARREL] },
  },
  {
    files: ['src/domain/clock.ts'],
    rules: { 'no-restricted-syntax': ['error', ENVIRONMENT, DEFAULT_EXPORT, BARREL] },
  },
  {
    files: ['test/**/*.ts', 'scripts/**/*.ts', 'bench/**/*.ts', 'docs/examples/*.ts'],
    rules: {
      'no-console': 'off',
      'no-restricted-syntax': ['error', DEFAULT_EXPORT, BARREL],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-expressions': 'off',
      // What is taken apart here comes from factories, which close over their state.
      '@typescript-eslint/unbound-method': 'off',
      // Tests hand over what the types forbid, on purpose.
      '@typescript-eslint/no-unnecessary-condition': 'off',
    },
  },
  { files: ['**/*.js', '**/*.mjs'], extends: [tseslint.configs.base], rules: { eqeqeq: 'error' } },
);
