/** A session that came under a password. Weaker than a handshake with pins. */
export interface PasswordSession {
  readonly secret: CryptoKey;
  readonly ticket: string;
  /** When it was made and when it ends, in seconds since 1970 on the server's clock. */
  readonly iat: number;
  readonly exp: number;
  readonly audience: string;
}

/**
 * Opens what a login answers with `flask_sealed.password_session`.
 *
 * @throws Malformed where it has another form, or asks for more work than it may, or for less
 * @throws Refused where the password is another, or it is of another service
 * @throws TooLarge where it has more than 2048 characters
 */
export function openPasswordSession(
  sealed: string,
  password: string,
  options: { audience: string },
): Promise<PasswordSession>;
