// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ContractWallet} from "./ContractWallet.sol";

/// @notice Creates wallets at addresses that are known before, as factories of smart accounts do.
contract WalletFactory {
    /// @notice Creates a wallet. It fails where there is one already.
    function create(address owner, bytes32 salt) public returns (address wallet) {
        wallet = address(new ContractWallet{salt: salt}(owner));
    }

    /// @notice Creates a wallet, and uses gas besides.
    function createSlowly(address owner, bytes32 salt, uint256 rounds) external returns (address wallet) {
        bytes32 hash = salt;
        for (uint256 round; round < rounds; ++round) {
            hash = keccak256(abi.encode(hash));
        }
        assert(hash != bytes32(0));
        wallet = create(owner, salt);
    }

    /// @notice Where a wallet is, or will be.
    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(ContractWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}
