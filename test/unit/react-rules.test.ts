import { ESLint } from 'eslint'
import { expect, test } from 'vitest'

// Type information is not asked for: these rules read the code alone.
const eslint = new ESLint()
const said = async (files: string[]) =>
  (await eslint.lintFiles(files)).flatMap(({ filePath, messages }) =>
    messages.map(({ ruleId, line, message }) => `${filePath}:${line} ${ruleId}: ${message}`),
  )

test("React's own rules find nothing wrong with the hooks", async () => {
  expect(await said(['src/react'])).toEqual([])
})

test('and nothing with the examples that use them', async () => {
  expect(await said(['examples/react/src', 'examples/demo/frameworks'])).toEqual([])
})

test('they would find what is wrong', async () => {
  const code = `
    import { useEffect } from 'react'
    import { useChannel } from 'millrace/react'
    export function Wrong({ channel, on, tell }) {
      if (on) useChannel(channel)
      useEffect(() => tell(channel), [])
      return null
    }`
  const [result] = await eslint.lintText(code, { filePath: 'examples/react/src/wrong.tsx' })
  const rules = result!.messages.map(({ ruleId }) => ruleId)
  expect(rules).toContain('react-hooks/rules-of-hooks')
  expect(rules).toContain('react-hooks/exhaustive-deps')
})
