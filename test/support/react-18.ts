import Module from 'node:module'

// For the vitest project of that name: what react-dom 18 and the built adapter require as `react` is 18 too. An alias
// reaches only what vite itself resolves.
type Resolve = (request: string, ...rest: unknown[]) => string
const loader = Module as unknown as { _resolveFilename: Resolve }
const resolve = loader._resolveFilename
loader._resolveFilename = (request, ...rest) => resolve(request.replace(/^(react|react-dom)(?=$|\/)/, '$1-18'), ...rest)
