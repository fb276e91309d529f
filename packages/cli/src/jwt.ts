import { jwtVerify, SignJWT } from 'jose'

export type JwtClaims = { readonly [claim: string]: unknown }

/** Signs with HS256. */
export function signJwt(claims: JwtClaims, secret: string): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(new TextEncoder().encode(secret))
}

/** Whether the token is signed with this secret, for this role, and not expired. Never rejects. */
export async function isJwtFor(role: string, token: string, secret: string): Promise<boolean> {
  try {
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), { algorithms: ['HS256'] })
    return payload['role'] === role
  } catch {
    return false
  }
}
