module.exports = { transform: {}, testMatch: ['**/*.jest.cjs'] }
