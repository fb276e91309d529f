import { createHmac } from 'node:crypto'

const VALID_FOR_S = 86_400

/** An HS256 token that is good for a day. */
export function signToken(claims: object, secret: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, exp: Math.floor(Date.now() / 1000) + VALID_FOR_S })}`
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`
}
