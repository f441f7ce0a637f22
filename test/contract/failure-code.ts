/** How the contract suites look at failures. */

/** The code that a call fails with, or `none`. */
export async function failureCode(call: () => unknown): Promise<string> {
  try {
    await call();
    return 'none';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}
