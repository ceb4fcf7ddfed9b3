module.exports = {
  testEnvironment: 'jsdom',
  // A machine that does other things too is no reason to fail.
  testTimeout: 60_000,
  testMatch: ['<rootDir>/tests/**/*.test.{ts,tsx}'],
  setupFilesAfterEnv: ['<rootDir>/tests/setup.ts'],
  transform: {
    '^.+\\.(t|j)sx?$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript', tsx: true }, target: 'es2022' } }],
  },
  // Packages that are published as ES modules only; nearly all of Grafana's are.
  transformIgnorePatterns: [],
  moduleNameMapper: {
    // Published as a module only that Jest does not transform.
    '^d3-color$': '<rootDir>/node_modules/d3-color/dist/d3-color.js',
    '\\.(css|svg)$': '<rootDir>/tests/empty.js', '^monaco-editor.*': '<rootDir>/tests/empty.js' },
};
