const SECRET = /auth|cookie|token|secret|session|key|credential|passw|jwt|[cx]srf|signature/i

/** Whether a header of this name is likely to say who asks: what was asked with it is not for everybody. */
export function isSecretHeader(name: string): boolean {
  return SECRET.test(name)
}
