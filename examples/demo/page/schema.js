// The smallest schemas that are Standard Schemas (https://standardschema.dev). Those of zod, valibot, arktype and many
// others fit in their place: `events: { join: z.object({ id: z.string(), name: z.string() }) }`.

export const text = (value) => typeof value === 'string'
export const number = (value) => Number.isFinite(value)
export const flag = (value) => typeof value === 'boolean'
export const listOf = (is) => (value) => Array.isArray(value) && value.every(is)
export const shape = (fields) => (value) => misfit(fields, value) === undefined

/** A Standard Schema of an object with these fields: `object({ id: text, price: number })`. */
export function object(fields) {
  return { '~standard': { version: 1, vendor: 'millrace-demo', validate } }

  function validate(value) {
    const wrong = misfit(fields, value)
    return wrong === undefined ? { value } : { issues: [{ message: `${wrong} does not fit`, path: [wrong] }] }
  }
}

/** The first field that is not what it should be. */
function misfit(fields, value) {
  if (typeof value !== 'object' || value === null) return 'the value'
  return Object.keys(fields).find((name) => !fields[name](value[name]))
}
