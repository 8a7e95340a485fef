// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice A contract that its authors published to be created by anyone, on any chain, at one address.
/// @param name What it is called in the file of deployments.
/// @param file The name of the file with its init code, where that is not in this repository.
/// @param salt The CREATE2 salt.
/// @param initCodeHash keccak256 of the init code with its constructor's arguments. With the salt it gives the address.
struct PublishedCode {
    string name;
    string file;
    bytes32 salt;
    bytes32 initCodeHash;
}

/// @title PublicContracts
/// @notice What others published and salt402 uses: Permit2 (https://github.com/Uniswap/permit2), x402's proxies
/// (https://github.com/x402-foundation/x402) and Multicall3 (https://www.multicall3.com).
library PublicContracts {
    address internal constant MULTICALL3 = 0xcA11bde05977b3631167028862bE2a173976CA11;

    /// @dev Who signed the transaction that creates it, and what that account must have: 1,000,000 gas at 100 gwei.
    address internal constant MULTICALL3_SIGNER = 0x05f32B3cC3888453ff71B01135B34FF8e41263F2;
    uint256 internal constant MULTICALL3_COST = 0.1 ether;
    uint256 internal constant MULTICALL3_GAS = 1_000_000;

    bytes32 internal constant MULTICALL3_INIT_CODE_HASH =
        0x0b2046aa018109118d518235014ac2c679dcbdff32c64705fdf50d048cd32d22;

    /// @dev Of the code that stands there then.
    bytes32 internal constant MULTICALL3_CODE_HASH = 0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891;

    function permit2() internal pure returns (PublishedCode memory) {
        return PublishedCode({
            name: "Permit2",
            file: "Permit2.hex",
            salt: 0x0000000000000000000000000000000000000000d3af2663da51c10215000000,
            initCodeHash: 0xe2be1e05eedf35dacd66c65c862f8150ff9ab4b6b24b9bbe62be71b6b16cf0f8
        });
    }

    /// @param name X402ExactPermit2Proxy or X402UptoPermit2Proxy.
    function x402Proxy(string memory name) internal pure returns (PublishedCode memory) {
        if (keccak256(bytes(name)) == keccak256("X402ExactPermit2Proxy")) {
            return PublishedCode({
                name: name,
                file: "x402ExactPermit2Proxy.hex",
                salt: bytes32(uint256(0x3000000007263b0e)),
                initCodeHash: 0xe774d1d5a07218946ab54efe010b300481478b86861bb17d69c98a57f68a604c
            });
        }
        return PublishedCode({
            name: name,
            file: "x402UptoPermit2Proxy.hex",
            salt: bytes32(uint256(0xb000000001db633d)),
            initCodeHash: 0x74f7a29cbc3c55f87cdef7f7c551643189e8bb62eed9de67753aebc402b83797
        });
    }
}
