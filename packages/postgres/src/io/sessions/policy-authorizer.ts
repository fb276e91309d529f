import type { Authorizer } from '@tidewire/server'
import { authorizeByPolicies, type AuthorizerOptions } from '../../messages/authorizer.ts'
import { nodeRuntime } from '../node-runtime.ts'

/** The sessions that policies are asked on, and the bounds of asking. */
export type PolicyAuthorizerOptions = Omit<AuthorizerOptions, 'runtime'>

/** The authorizer on Node's clock. */
export function policyAuthorizer(options: PolicyAuthorizerOptions): Authorizer {
  return authorizeByPolicies({ ...options, runtime: nodeRuntime })
}
