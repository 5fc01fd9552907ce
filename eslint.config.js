import parser from '@typescript-eslint/parser'
import hooks from 'eslint-plugin-react-hooks'

// Biome lints everything else. Here React's own rules look at the adapter and at whoever uses it as a user would.
export default [
  { ignores: ['**/dist/', '**/node_modules/'] },
  {
    files: ['src/react/**/*.{ts,tsx}', 'examples/react/src/**/*.{ts,tsx}', 'examples/demo/frameworks/**/*.jsx'],
    languageOptions: { parser, parserOptions: { ecmaFeatures: { jsx: true } } },
    ...hooks.configs.flat['recommended-latest'],
  },
]
