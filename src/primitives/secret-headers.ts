const SECRET = /auth|cookie|token|secret|session|key|credential/i

/** Whether a header of this name is likely to say who asks: what was asked with it is not for everybody. */
export function isSecretHeader(name: string): boolean {
  return SECRET.test(name)
}
